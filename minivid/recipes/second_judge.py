"""A second judge, to judge the first: it shares no weight, no training clip and no code of reading with it.

Both can only say one digit or two, of different colours, and the same simulator taught them.

It was trained on clips of its own, of which half had been through the codec, as generated ones have.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cross_entropy

from minivid import pipeline
from minivid.formats import DEFAULT_FORMAT, frame_times
from minivid.measure.adherence import ask, attribute_rows, read_clips
from minivid.measure.judge import load_judge
from minivid.recipes import cache, labels
from minivid.recipes.clip_reader import ANSWERS, COLOURS, GRID, OF_A_DIGIT, SecondJudge, resized
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig
from minivid.world import held_out, random_scenes, render


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Clips of the directed world, and of every digit its clip, colour, number, places (f, 2) and answers."""
    size = (32, 32, 64)[int(torch.randint(3, (), generator=rng))]
    scenes = random_scenes.draw_scenes(config.batch_size, rng, random_scenes.DIRECTED)
    video = render.video(scenes, DEFAULT_FORMAT.frames, size, size)
    if size == 32 and torch.rand((), generator=rng) < 0.75:
        video = cache.copies(video)
    video = video + 0.05 * torch.rand((), generator=rng) * torch.randn(video.shape, generator=rng)
    seconds = frame_times(DEFAULT_FORMAT.frames)
    centre, view = render.camera_paths(scenes, seconds)
    rows = [(i, k) for i, one in enumerate(scenes) for k in range(len(one.bodies))]
    positions = torch.stack(
        [(scenes[i].positions(seconds)[k] - centre[i]) / view[i][:, None] for i, k in rows]
    )
    described = [one.describe() for one in scenes]
    subjects = [(described[i], described[i].subjects[k]) for i, k in rows]
    answers = [[a.index(getattr(s if key in OF_A_DIGIT else d, key)) for key, a in ANSWERS.items()]
               for d, s in subjects]  # fmt: skip
    truth = [[i, COLOURS.index(s.colour), s.digit, *a] for (i, _), (_, s), a in zip(rows, subjects, answers)]
    return resized(video), torch.tensor(truth), positions.float()


def loss(network: SecondJudge, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """Cross-entropy of every answer, of where each colour is, and of which colours are there."""
    video, truth, positions = batch
    clips, colours, digits, *answers = truth.T
    found = network.find(video)
    cells = ((positions + 0.5) * GRID).long().clamp(0, GRID - 1)
    where = found[1][clips, :, colours].float().flatten(0, 1)
    total = cross_entropy(where, (cells[..., 1] * GRID + cells[..., 0]).flatten())
    there = torch.zeros_like(found[2], dtype=torch.float32)
    there[clips, colours] = 1
    some = slice(int(torch.randint(3, (), generator=rng)), None, 3)  # of the frames, to save time
    logits = network(found, video, clips, colours, some)
    total = total + bce(found[2].float(), there) + 2 * cross_entropy(logits["digit"], digits)
    return total + sum(cross_entropy(logits[k], a) for k, a in zip(ANSWERS, answers, strict=True))


@torch.no_grad()
def score(network: SecondJudge, n: int, seed: int) -> dict:
    """Agreement of what it reads on real clips with what is in them, and with the judge on other clips.

    64_: at 64×64. agrees_copies_, agrees_generated_: with the judge, on the codec's copies of clips of the
    full world, and on clips that `joint` generates for their captions, 500 at most; floor: on the next clip.
    labelled_: of generated clips that were labelled, see `labels.rows`.
    """
    table = labels.rows(network.read)
    scenes = random_scenes.draw_scenes(n, seed, random_scenes.DIRECTED)
    for prefix, size in (("", 32), ("64_", 64)):
        read = [
            d for k in range(0, n, 50) for d in network.read(render.video(scenes[k : k + 50], 17, size, size))
        ]
        rows = attribute_rows([one.describe() for one in scenes], read)
        table |= {prefix + key: row for key, row in rows.items()}
    scenes = held_out.draw_scenes(min(n, 500), seed, world=random_scenes.FULL)
    made = pipeline.load("joint")
    generated, real = ask(lambda *given: made.generate(*given).video, scenes, seed)
    for kind, video in (("copies", cache.copies(real)), ("generated", generated)):
        judged = [one.description for one in read_clips(load_judge(), video)]
        read = [d for part in video.split(50) for d in network.read(part)]
        table |= {f"agrees_{kind}_{key}": row for key, row in attribute_rows(judged, read).items()}
    return table


CONFIG = TrainConfig(steps=7000, batch_size=24, learning_rate=1.5e-3, ema=0.998, seed=7, precision="bf16")

RECIPE = Recipe(
    what="reads whole clips by a network alone, and so checks the judge",
    build=SecondJudge,
    draw_batch=draw_batch,
    loss=loss,
    configs={"laptop": CONFIG, "gpu": CONFIG},
    score=score,
    needs=("judge", "video_codec", "joint"),
    world="directed",
)
