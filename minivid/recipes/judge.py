"""The judge: crops of digits from both worlds, and an exam on real clips."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from minivid.formats import frame_times
from minivid.measure import ink, judge, stats
from minivid.measure.adherence import agreement, attribute_rows
from minivid.measure.stats import proportion_row
from minivid.recipes import labels
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig
from minivid.world import random_scenes, render, scene

_SIZES = ((32, 32), (32, 32), (64, 64), (32, 48), (48, 32))  # height, width of clips it learns on


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Crops (n, 2, CROP, CROP) of digits that can be seen, with digit and style (n,).

    Clips of both worlds at several sizes, and close-ups; each crop a little off and a little noisy,
    as what a half-trained model generates will be.
    """
    height, width = _SIZES[int(torch.randint(len(_SIZES), (), generator=rng))]
    room, n = render.room_for(height, width), config.batch_size
    scenes = random_scenes.draw_scenes(n, rng, random_scenes.DIRECTED, room)
    video = (render.video(scenes, 5, height, width) + 1) / 2
    video = (video + 0.03 * torch.randn(video.shape, generator=rng)).clamp(0, 1)
    bodies = [(i, body) for i, one in enumerate(scenes) for body in one.bodies]
    clips = torch.tensor([i for i, _ in bodies])
    colours = torch.tensor([list(scene.COLOURS).index(body.colour) for _, body in bodies])
    inks = ink.find_ink(video)
    own_ink = inks[clips, colours]
    view = render.camera_paths(scenes, frame_times(5))[1][clips]
    offsets, area, bright = ink.locate(own_ink)
    area = area * view**2
    offsets = offsets + 0.03 * torch.randn(offsets.shape, generator=rng) / view[..., None]
    zoomed = view / (1 + 0.06 * torch.randn(view.shape, generator=rng))
    other_ink = inks[clips].sum(1) - own_ink
    crops = ink.crop_digits(own_ink, other_ink, bright, offsets, zoomed)
    visible = area > 0.35 * area.amax(1, keepdim=True)
    digits = torch.tensor([body.digit for _, body in bodies])[:, None].expand_as(visible)
    styles = torch.tensor([scene.STYLES.index(scenes[i].style) for i, _ in bodies])
    styles = styles[:, None].expand_as(visible)

    near = random_scenes.draw_scenes(n, rng, random_scenes.FULL)
    size = (24, 32, 48)[int(torch.randint(3, (), generator=rng))]
    close, _ = ink.portrait_crops(render.portraits(near, size))
    crops = torch.cat([crops[visible], close])
    softness = torch.rand(len(crops), 1, 1, 1, generator=rng) * 0.6
    crops = torch.lerp(crops, avg_pool2d(crops, 3, 1, 1), softness)
    crops = crops + 0.06 * torch.randn(crops.shape, generator=rng)
    more_digits = torch.tensor([one.bodies[0].digit for one in near])
    more_styles = torch.tensor([scene.STYLES.index(one.style) for one in near])
    return (crops, torch.cat([digits[visible], more_digits]), torch.cat([styles[visible], more_styles]))


def loss(network: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """Cross-entropy of the digit, and half as much of the style."""
    crops, digits, styles = batch
    digit, style = network(crops)
    return cross_entropy(digit.float(), digits) + 0.5 * cross_entropy(style.float(), styles)


def score(network: nn.Module, n: int, seed: int) -> dict:
    """Agreement of what the judge reads on real clips with what is in them; floor: shuffled pairs.

    Of the full world, the easy one, and the directed one at 32×32 and at 64×64, with a row for each new word;
    and of generated clips that were labelled, see `labels.rows`.
    """
    table = {}
    for prefix, world, size in WORLDS:
        scenes = random_scenes.draw_scenes(n, seed, world)
        observed = read(network, scenes, size)
        asked, found = [s.describe() for s in scenes], [o.description for o in observed]
        table |= {prefix + key: row for key, row in attribute_rows(asked, found).items()}
        for word, key, value in WORDS if world is DIRECTED else ():
            own = [(a, b) for a, b in zip(asked, found, strict=True) if getattr(a, key) == value]
            table[prefix + word] = proportion_row([agreement(a, b)[key] for a, b in own])
        if world is random_scenes.EASY:
            right = [(o.digits == a.subjects[0].digit).sum() for a, o in zip(asked, observed, strict=True)]
            every = [o.digits.numel() for o in observed]
            table["easy_frame_digit"] = stats.row(stats.ratio(torch.tensor(right), torch.tensor(every)))
        table[prefix + "identity"] = proportion_row([one.identity for one in observed])
    return table | labels.rows(lambda clips: [one.description for one in network.read(clips)])


FULL, DIRECTED = random_scenes.FULL, random_scenes.DIRECTED
WORLDS = (("", FULL, 32), ("easy_", random_scenes.EASY, 32), ("directed_", DIRECTED, 32),
          ("directed_64_", DIRECTED, 64))  # fmt: skip
WORDS = (("track", "camera", "track"), ("above", "camera", "from above"), ("slow", "slow_motion", True))


def read(
    network: judge.Judge, scenes: list[scene.Scene], size: int = 32, batch_size: int = 100
) -> list[judge.Observation]:
    """Render scenes and let the judge read them."""
    parts = [scenes[i : i + batch_size] for i in range(0, len(scenes), batch_size)]
    return [o for part in parts for o in network.read(render.video(part, 17, size, size))]


CONFIG = TrainConfig(steps=2500, batch_size=16, learning_rate=2e-3, ema=0.998)

RECIPE = Recipe(
    what="names the digit and the style of an ink crop, and so scores every other model",
    build=judge.Judge,
    draw_batch=draw_batch,
    loss=loss,
    configs={"laptop": CONFIG, "gpu": CONFIG},
    score=score,
    world="directed",
)
