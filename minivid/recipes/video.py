"""Text to video: a diffusion transformer on latents, of the full world, in many formats.

Halfway through its blocks, each token also guesses what the clip encoder, which learned from captions, would
see there were the clip clean. "Representation alignment" (REPA, Yu et al. 2024, arXiv 2410.06940) made
diffusion transformers learn many times faster; here it helps, less. Near the end the teacher is silent: what
it sees is coarse, and held to it the tokens would not learn the finest ("early stop", Wang et al. 2025, arXiv
2505.16792). The text encoder is that of `reader`, which knows what a sentence says of whom, as it is.
"""

import functools
from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from minivid import diffusion, judge, text, train, weights
from minivid.codec import SIZES
from minivid.generator import SIDE, TAUGHT, USUAL, Format, Generator, TextToVideo
from minivid.recipes import cache, clips, held_out, latents, reader, teacher
from minivid.recipes.judging import agreement, referee
from minivid.recipes.recipe import Recipe, entry, gpu_only, of_size
from minivid.recipes.words import TOKENISER
from minivid.world import render, scene

# What is trained on: how many clips of each format are kept, and the share of steps that take them.
FORMATS = {
    Format(17, 32, 32): (30_000, 0.5),
    Format(17, 32, 48): (6_000, 0.12),
    Format(17, 48, 32): (6_000, 0.12),
    Format(33, 32, 32): (5_000, 0.1),
    Format(9, 32, 32): (6_000, 0.08),
    Format(1, 32, 32): (10_000, 0.08),
}
NEVER = (Format(17, 32, 40), Format(17, 40, 32), Format(25, 32, 32))  # held out of training
EASY = 600  # steps at first, with nothing but the easy world in the usual format
MIDDLE = 0.2  # share of the noise levels that are drawn around the middle
MOST = 2  # a batch of stills would be huge: at most so many times as many as of clips
ALIGN = 1.0  # what the guesses' error counts beside the velocity's
SILENT = 2 / 3  # share of the steps after which the teacher is silent


@functools.cache
def scenes_of(n: int, at: Format) -> list[scene.Scene]:
    """Scenes to train on, in a room of that format, a third of the easy world; none held out."""
    seed = train.step_seed(0, 2 * list(FORMATS).index(at))
    room = render.room_for(at.height, at.width)
    easy = held_out.draw_scenes(n // 3, seed, room=room)
    return easy + held_out.draw_scenes(n - n // 3, seed + 1, world=scene.FULL, room=room)


@functools.cache
def training_set(n: int, at: Format, size: int = USUAL.width) -> tuple[Tensor, list[scene.Scene]]:
    """Latents to train on and their scenes; size: what is 32 pixels in FORMATS."""
    scenes, shape = scenes_of(n, at), at.sized(size)
    codec = latents.video_codec(size)
    return cache.latents(f"video-{mark(shape)}-{n}", codec, scenes, filming(shape)), scenes


@functools.cache
def shown(n: int, at: Format) -> Tensor:
    """What each token of these latents shows, as the teacher sees it: (n, TAUGHT, f, h / 2, w / 2).

    The teacher sees clips of 32×32; larger ones have as many tokens, and show the same.
    """
    name = f"shown-{mark(at)}-{n}"
    return cache.latents(name, teacher.teacher(TAUGHT), scenes_of(n, at), filming(at))


def filming(at: Format) -> Callable[[list[scene.Scene]], Tensor]:
    """What renders scenes in that format: scenes -> (b, 3, frames, height, width)."""
    return functools.partial(render.video, frames=at.frames, height=at.height, width=at.width)


def mark(at: Format) -> str:
    """A format in file names and keys."""
    return f"{at.frames}x{at.height}x{at.width}"


def batch(
    plan: train.Plan, generator: torch.Generator, size: int = USUAL.width
) -> tuple[Tensor, ...]:
    """Latents (b, c, f, h, w) of one format, what they show, and their captions' tokens, some empty.

    What they show: (b, TAUGHT, f, h / 2, w / 2), until the teacher is silent; tokens: (b, n). Every batch has
    about as many latents as `plan.batch` clips of 17 square frames. The first EASY steps see the easy world
    alone: who knows digits when the light changes and the camera moves learns the rest sooner (a curriculum,
    Bengio et al. 2009). Later one clip in nine is of it. size: as in `training_set`.
    """
    step = train.step_of(generator, plan.seed)
    easy = step < EASY
    at = USUAL if easy else draw_format(FORMATS, generator)
    n = FORMATS[at][0]
    kept, scenes = training_set(n, at, size)
    of = slice(n // 3) if easy else slice(n // 4, n)
    told = [kept[of]] if silent(step, plan) else [kept[of], shown(n, at)[of]]
    return latents.pick_all(told, scenes[of], as_many(plan, kept), generator, tokens)


def silent(step: int, plan: train.Plan) -> bool:
    """Whether the teacher has stopped by that step."""
    return step >= SILENT * plan.steps


def draw_format(formats: dict[Format, tuple[int, float]], generator: torch.Generator) -> Format:
    """One of the formats, each as often as its share says."""
    shares = torch.tensor([share for _, share in formats.values()])
    return list(formats)[int(torch.multinomial(shares, 1, generator=generator))]


def as_many(plan: train.Plan, kept: Tensor) -> int:
    """How many of these clips cost as much as `plan.batch` of 17 square frames; of stills, fewer."""
    usual = plan.batch * 5 * SIDE * SIDE
    return min(MOST * plan.batch, usual // kept[0, 0].numel())


def levels(n: int, generator: torch.Generator) -> Tensor:
    """Noise levels to train on: (n,) in (0, 1).

    Many are around the middle, where a digit takes its shape; the others spread, more of them high, where
    it is decided what goes where. Without the first digits take twice as long, without the others headings.
    """
    middle = round(MIDDLE * n)
    rest = latents.levels(n - middle, generator)
    return torch.cat([diffusion.logit_normal(middle, generator), rest])


def loss(network: nn.Module, made: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """The velocity is predicted, as of `latents`, at other noise levels; and what is shown, where it is told.

    made: latents, what they show or nothing, tokens. A guess is wrong by one less the cosine of its angle.
    """
    clean, *meant, asked = made
    if not meant:
        return clips.loss(network, made, generator, "velocity", levels)
    guesses = []

    def look(x_t: Tensor, t: Tensor, asked: Tensor) -> Tensor:
        velocity, guess = network.both(x_t, t, asked)
        guesses.append(guess)
        return velocity

    missed = clips.loss(look, (clean, asked), generator, "velocity", levels)
    truth = rearrange(meant[0], "b c f h w -> b (f h w) c")
    return missed + ALIGN * (1 - cosine_similarity(guesses[0].float(), truth, dim=-1)).mean()


def tokens(sentences: Sequence[str]) -> Tensor:
    """Sentences as tokens (b, n), n a multiple of 16 into which the longest fits: few shapes."""
    return text.trimmed(TOKENISER(sentences), 16)


def score(network: nn.Module, n: int, seed: int, size: int = USUAL.width) -> dict:
    """Asked for scenes of the easy world, of the full one, and of other formats: what does the judge see?

    The rows of `clips.scored`; `full_` rows, of everything a caption says, and `unseen_full_` ones, of
    combinations held out; and for each format the share of easy scenes with digit and colour, and heading
    where there is one to see, as asked.
    """
    ready = generator_of(network, size)
    table = clips.scored(ready.draw, n, seed, ready.usual)
    for prefix, subjects, share in (("", held_out.SEEN, 1), ("unseen_", held_out.UNSEEN, 4)):
        rows = _full(ready.draw, n // share, seed + 3, subjects, ready.usual)
        table |= {f"{prefix}full_{key}": row for key, row in rows.items()}
    for at in (*FORMATS, *NEVER):
        shape = at.sized(size)
        table[f"at_{mark(shape)}"] = _at(ready, n // 4, seed + 4, shape)
    return table


def generator_of(network: nn.Module, size: int = USUAL.width) -> Generator:
    """The network, ready to be asked for clips of that size."""
    where = next(network.parameters()).device
    return Generator(network, latents.video_codec(size).to(where), TOKENISER)


def _full(
    draw: clips.Draw, n: int, seed: int, subjects: list[scene.Subject], shape: Format
) -> dict:
    scenes, drawn, real = clips.ask(draw, n, seed, subjects, scene.FULL, shape)
    viewer = referee()
    asked = [one.describe() for one in scenes]
    return agreement(asked, clips.look(viewer, drawn), clips.look(viewer, real))


def _at(ready: Generator, n: int, seed: int, shape: Format) -> dict:
    def draw(sentences: Sequence[str], seed: int) -> Tensor:
        return ready.draw(sentences, seed, shape=shape)

    scenes, drawn, real = clips.ask(draw, n, seed, held_out.SEEN, shape=shape)
    asked, viewer = [one.describe() for one in scenes], referee()
    keys = ("digit", "colour") if shape.frames == 1 else ("digit", "colour", "heading")
    seen, truth = (
        [all(judge.agreement(a, b.description)[key] for key in keys) for a, b in zip(asked, told)]
        for told in (clips.look(viewer, drawn), clips.look(viewer, real))
    )
    return entry(seen, None, sum(truth) / n)


def build(size: int = USUAL.width) -> nn.Module:
    """A transformer that knows nothing yet, and a text encoder that can read."""
    return with_reader(TextToVideo(len(TOKENISER.words), SIZES[size][0], taught=TAUGHT))


def with_reader(network: TextToVideo) -> TextToVideo:
    """The network, its text encoder being that of `reader`, which learns no more."""
    network.text = weights.load("reader", reader.build()).text.requires_grad_(False)
    return network


RECIPE = Recipe(
    what="a diffusion transformer that turns static into latents of clips of what a sentence asks for",
    build=build,
    draw=batch,
    loss=loss,
    plans={
        "laptop": train.Plan(
            10_000, 64, learning_rate=1e-3, muon=0.02, precision="bf16", compiled=True
        ),
        "gpu": train.Plan(
            40_000, 256, learning_rate=1e-3, muon=0.02, precision="bf16", compiled=True
        ),
    },
    score=score,
    in_bytes=True,
)

VIDEO_64 = of_size(
    gpu_only(RECIPE),
    64,
    "a diffusion transformer that turns static into latents of clips of 64×64",
)
