"""Video in pixels: a U-Net that turns static into easy-world clips of what a sentence asks for."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d

from minivid import diffusion, judge, metrics, text, train, weights
from minivid.generator import USUAL, Format
from minivid.recipes import held_out
from minivid.recipes.judging import agreement, referee
from minivid.recipes.recipe import Recipe, entry, measured, with_bar
from minivid.recipes.words import TOKENISER, write_captions
from minivid.unet import VideoUNet
from minivid.world import captions, render, scene

PATH = diffusion.RectifiedFlow()
SHIFT = 3.0  # many pixels say the same thing, so what a clip shows is settled at high noise
FEATURES = 128  # numbers in which toy-FVD compares clips
GUIDANCE = 3.0  # how far a sentence is followed, unless said otherwise
UNSAID = 0.1  # share of training captions that are empty


def batch(
    plan: train.Plan,
    generator: torch.Generator,
    hear: Callable[[Sequence[str]], Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """Clips of the easy world (b, 3, 17, 32, 32) and their captions as `hear` has them; none held out.

    hear: `understand` where none is given, which makes vectors (b, d).
    """
    scenes = held_out.draw_scenes(plan.batch, generator)
    heard = some_unsaid(write_captions(scenes, generator), generator)
    return render.video(scenes), (hear or understand)(heard)


def some_unsaid(
    sentences: Sequence[str], generator: torch.Generator, share: float = UNSAID
) -> list[str]:
    """Captions to train on: a share of them is made empty, so that the network learns both fields.

    Guidance needs them: asked and unasked are then one network (Ho and Salimans 2022, arXiv 2207.12598).
    """
    unsaid = (torch.rand(len(sentences), generator=generator) < share).tolist()
    return ["" if empty else words for words, empty in zip(sentences, unsaid, strict=True)]


@functools.cache
def _words() -> nn.Module:
    return weights.load("words", text.Pair(len(TOKENISER.words))).requires_grad_(False)


@torch.no_grad()
def understand(sentences: Sequence[str]) -> Tensor:
    """Sentences as the frozen text encoder understands them: (b, d). An empty one is all zeros."""
    return encode(TOKENISER(sentences))


@torch.no_grad()
def encode(tokens: Tensor) -> Tensor:
    """Tokens as the frozen text encoder understands them: (b, n) -> (b, d)."""
    return _words().text(tokens)[1]


def draw_t(n: int, generator: torch.Generator, by: float = SHIFT) -> Tensor:
    """Noise levels to train on: (n,) in [0, 1), more of them high."""
    return diffusion.shift(diffusion.uniform(n, generator), by)


Levels = Callable[[int, torch.Generator], Tensor]  # draws n noise levels


def loss(
    network: nn.Module,
    batch: tuple[Tensor, ...],
    generator: torch.Generator,
    predicts: diffusion.Predicts = "clean",
    levels: Levels = draw_t,
    path: diffusion.Path = PATH,
) -> Tensor:
    """The clean clip is predicted, and compared as it is, more often at high noise.

    The stem hands the network 96 numbers for two frames of 4×4 pixels; to predict noise or velocity it
    would have to carry all of them through, where a clean clip needs fewer (Li and He 2025, arXiv
    2511.13720).
    In the velocity the same error counts 1 / t² as much: fine grain first, where frames ought to agree.
    """
    clean, asked = batch
    return diffusion.loss(
        lambda x_t, t: network(x_t, t, asked),
        clean,
        generator,
        path,
        predicts,
        draw_t=levels,
    )


def field(
    network: nn.Module,
    asked: Tensor,
    guidance: float = 1.0,
    predicts: diffusion.Predicts = "clean",
) -> diffusion.Field:
    """The velocity field that leads to clips of what was asked: asked (b, d), see `understand`."""
    unasked = torch.zeros_like(asked)
    return diffusion.conditional(network, asked, unasked, guidance, PATH, predicts)


def draw(
    network: nn.Module,
    sentences: Sequence[str],
    seed: int,
    steps: int = 8,
    guidance: float = GUIDANCE,
    frames: int = 17,
) -> Tensor:
    """Clips of what the sentences ask for: (b, 3, frames, 32, 32) in [-1, 1]. Seeded on the CPU."""
    where = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(sentences), 3, frames, 32, 32, generator=generator).to(where)
    towards = field(network.eval(), understand(sentences).to(where), guidance)
    times = diffusion.schedule(steps, SHIFT)
    *_, last = diffusion.sample(towards, noise, times, PATH, diffusion.heun)
    return last.x_t.clamp(-1, 1)


def score(network: nn.Module, n: int, seed: int) -> dict:
    """The table of `scored`, of clips that this network draws."""
    return scored(lambda sentences, seed: draw(network, sentences, seed), n, seed)


# Any way from sentences and a seed to clips (b, 3, f, h, w).
Draw = Callable[[Sequence[str], int], Tensor]


def scored(draw: Draw, n: int, seed: int, shape: Format = USUAL) -> dict:
    """Asked for scenes of the easy world, what does the judge see, and how well does it move?

    Scenes of combinations seen in training, and a quarter as many of those held out. Floors: another
    clip's caption, frames of real clips out of order, or, for identity, frames of different clips;
    ceilings: the real clips. shape: the format in which the clips are drawn.
    """
    viewer = referee()
    scenes, drawn, real = ask(draw, n, seed, held_out.SEEN, shape=shape)
    asked, seen = [one.describe() for one in scenes], look(viewer, drawn)
    truth, shuffled = look(viewer, real), _shuffle(real, seed)
    mixed = look(viewer, shuffled)
    table = asked_rows(asked, seen, truth)
    jumbled = torch.stack([real.roll(k, 0)[:, :, k] for k in range(real.shape[2])], 2)
    same = [[one.same_digit for one in told] for told in (seen, look(viewer, jumbled), truth)]
    table["identity"] = entry(same[0], same[1], sum(same[2]) / n)
    table["flicker"] = measured(
        metrics.bootstrap(metrics.flicker(drawn)),
        *(metrics.flicker(video).mean().item() for video in (shuffled, real)),
    )
    ways = [metrics.physics(*flights(told)) for told in (seen, mixed, truth)]
    for key in metrics.Physics._fields:
        ours, floor, ceiling = (x[~x.isnan()] for x in (getattr(way, key) for way in ways))
        if len(ours) > 1:  # a model that has learned little may never hit a wall
            table[key] = measured(
                metrics.bootstrap(ours), floor.mean().item(), ceiling.mean().item()
            )
    if n > FEATURES * 2:
        scenes = held_out.draw_scenes(n, seed + 2)
        others = features(render.video(scenes, shape.frames, shape.height, shape.width))
        clouds = [features(video) for video in (drawn, shuffled, real)]
        table["toy_fvd"] = measured(
            metrics.jackknife(metrics.frechet, clouds[0], others),
            *(metrics.frechet(cloud, others) for cloud in clouds[1:]),
        )
    scenes, drawn, real = ask(draw, max(1, n // 4), seed + 1, held_out.UNSEEN, shape=shape)
    asked = [one.describe() for one in scenes]
    unseen = asked_rows(asked, look(viewer, drawn), look(viewer, real))
    return table | {"unseen_" + key: unseen[key] for key in ("digit", "colour", "heading", "all")}


def look(viewer: judge.Judge, video: Tensor, at_once: int = 100) -> list[judge.Seen]:
    """What the judge sees in many clips (b, 3, f, h, w)."""
    parts = with_bar(video.split(at_once), "looking", at_once)
    return [seen for part in parts for seen in viewer.read(part)]


def flights(seen: Sequence[judge.Seen]) -> tuple[Tensor, Tensor]:
    """The places of each clip's first digit (n, f, 2), and the frames' times (f,)."""
    places = torch.stack([one.places[0] for one in seen])
    return places, scene.frame_times(places.shape[1])


def ask(
    draw: Draw,
    n: int,
    seed: int,
    subjects: list[scene.Subject],
    world: scene.World = scene.EASY,
    shape: Format = USUAL,
    at_once: int = 50,
) -> tuple[list[scene.Scene], Tensor, Tensor]:
    """Scenes, what is drawn when asked for them, and what they look like in that format."""
    room = render.room_for(shape.height, shape.width)
    scenes = held_out.draw_scenes(n, seed, subjects, world, room)
    sentences = [captions.write(one.describe()) for one in scenes]
    starts = with_bar(range(0, n, at_once), "drawing", at_once)
    drawn = [draw(sentences[k : k + at_once], seed + k).cpu() for k in starts]
    return scenes, torch.cat(drawn), render.video(scenes, shape.frames, shape.height, shape.width)


def asked_rows(
    asked: list[scene.Description], seen: list[judge.Seen], truth: list[judge.Seen]
) -> dict:
    """The rows of what sentences of the easy world say."""
    rows = agreement(asked, seen, truth)
    return {key: rows[key] for key in ("digit", "colour", "heading")} | {
        "all": rows["all_attributes"]
    }


def _shuffle(video: Tensor, seed: int) -> Tensor:
    """Each clip's frames in an order of its own."""
    order = torch.rand(
        video.shape[0], video.shape[2], generator=torch.Generator().manual_seed(seed)
    )
    return torch.stack([clip[:, row] for clip, row in zip(video, order.argsort(1), strict=True)])


@torch.no_grad()
def features(video: Tensor) -> Tensor:
    """What the clip encoder that learned captions makes of square clips, made 32×32: (n, FEATURES)."""
    sides = USUAL.height, USUAL.width
    small = (adaptive_avg_pool3d(part, (part.shape[2], *sides)) for part in video.split(100))
    return torch.cat([_words().clip(part) for part in small])


RECIPE = Recipe(
    what="a video U-Net that turns static into easy-world clips of what a sentence asks for",
    build=lambda: VideoUNet(width=64, blocks=1),
    draw=batch,
    loss=loss,
    plans={
        "laptop": train.Plan(steps=6000, batch=32, learning_rate=2e-3, precision="bf16"),
        "gpu": train.Plan(steps=20_000, batch=128, learning_rate=1e-3, precision="bf16"),
    },
    score=score,
)
