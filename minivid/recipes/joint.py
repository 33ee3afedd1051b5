"""Text to video with sound: one transformer denoises both, and makes either for the other.

It begins as the transformer of `video`, whose pictures it knows how to draw; sound begins with a copy of the
picture's ways to think. In many clips the picture is ahead of the sound, a little or far, on the way from
noise; in others one of the two is clean, which teaches to make the other for it; in the rest their noise has
nothing to do with one another.

Halfway through the blocks each token, of either kind, also guesses what is heard while it lasts: how loud it
is, which notes are struck, what hums. That is what the one must know of the other: as tokens of `video` guess
what a teacher sees (representation alignment, Yu et al. 2024, arXiv 2410.06940). Here the world is the
teacher.
"""

import dataclasses
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from minivid import codec, diffusion, listener, patches, train, weights
from minivid.generator import (
    PATH,
    TAUGHT,
    USUAL,
    Clip,
    Format,
    JointGenerator,
    TextToClip,
    TextToVideo,
    called,
)
from minivid.recipes import cache, clips, held_out, latents, sync, video
from minivid.recipes.judging import agreement, referee
from minivid.recipes.recipe import Recipe, gpu_only, of_size, with_bar
from minivid.recipes.words import TOKENISER
from minivid.world import captions, scene, sound

# What is trained on: formats, clips of each that are kept, and the share of steps that take them.
FORMATS = {
    Format(17, 32, 32): (30_000, 0.7),
    Format(17, 32, 48): (6_000, 0.15),
    Format(17, 48, 32): (6_000, 0.15),
}
ENOUGH_FOR = 128  # clips in a batch: twice as many are drawn from twice as many
BOTH, SEEN, HEARD = 0.4, 0.3, 0.15  # shares: both made, picture given, sound given
MOST_AHEAD = 16.0  # of pictures whose sound is made with them, how far the farthest are ahead
GUESS = 1.0  # what the guesses' mean error counts beside the sum of both velocities'
LOUD = 0.6, 0.65  # how loud latents of sound are in the mean, and how much that varies
STROKES, HUMS = 0.08, 0.125  # how much strokes and hums vary
WIDE = 0.04  # seconds by which a stroke is smoothed
FINE = 8  # times in a latent of sound, over which the mean is taken


@functools.cache
def audio_codec() -> codec.AudioCodec:
    """The shipped autoencoder of sound."""
    return weights.load("audio_codec", codec.AudioCodec()).requires_grad_(False)


@functools.cache
def training_set(
    n: int, at: Format, size: int = USUAL.width
) -> tuple[Tensor, Tensor, list[scene.Scene]]:
    """Latents of pictures, latents of their sounds, and the scenes, drawn as `video` draws its own."""
    pictures, scenes = video.training_set(n, at, size)
    make = functools.partial(sound.audio, frames=at.frames)
    sounds = cache.latents(f"sound-{video.mark(at)}-{n}", audio_codec(), scenes, make)
    return pictures, sounds, scenes


@functools.cache
def written(n: int, at: Format) -> Tensor:
    """What is heard in the training set, written down: (n, s, 20), half precision; see `transcript`."""
    return transcript(video.scenes_of(n, at), at.frames)


def batch(
    plan: train.Plan, generator: torch.Generator, size: int = USUAL.width
) -> tuple[Tensor, ...]:
    """Latents of pictures (b, c, f, h, w) and sounds (b, 16, s) of one format, and tokens (b, n).

    Until late, what is heard comes before the tokens; see `told`. size: what is 32 pixels in FORMATS.
    """
    step = train.step_of(generator, plan.seed)
    at = video.draw_format(FORMATS, generator)
    n = count_kept(plan, at)
    pictures, sounds, scenes = training_set(n, at, size)
    made = pictures, sounds, written(n, at)
    many = video.as_many(plan, pictures)
    return told(latents.pick_all(made, scenes, many, generator, video.tokens), step, plan)


def count_kept(plan: train.Plan, at: Format) -> int:
    """How many clips of a format are kept to train on: more for larger batches, see ENOUGH_FOR."""
    return FORMATS[at][0] * max(1, plan.batch // ENOUGH_FOR)


def told(made: tuple[Tensor, ...], step: int, plan: train.Plan) -> tuple[Tensor, ...]:
    """A batch with what is heard in it, (b, s, WRITTEN), where guesses of it are still asked for.

    made: latents of pictures and sounds, what is written down of these, tokens.
    """
    pictures, sounds, notes, asked = made
    if video.silent(step, plan):
        return pictures, sounds, asked
    return pictures, sounds, torch.cat([loudness(sounds)[..., None], notes], -1), asked


def loudness(sounds: Tensor) -> Tensor:
    """How loud each latent of sound is, in units of its spread: (b, c, s) -> (b, s)."""
    return (sounds.float().square().mean(1).sqrt() - LOUD[0]) / LOUD[1]


def transcript(scenes: list[scene.Scene], frames: int) -> Tensor:
    """What a musician would write down: (n, s, 20), half precision, for each latent of sound.

    First how strongly each digit's note is struck, a stroke smoothed by a Gaussian of WIDE seconds, then how
    loudly each digit hums; both in units of their spread.
    """
    each = patches.SOUNDS * FINE  # times in a frame
    times = (torch.arange(frames * each) + 0.5) / (scene.FRAMES_PER_SECOND * each)
    pages = []
    for one in scenes:
        page = torch.zeros(2 * len(scene.DIGITS), len(times))
        for hit in one.hits(frames / scene.FRAMES_PER_SECOND):
            away = (times - hit.seconds) / WIDE
            page[one.bodies[hit.body].digit] += (-away.square() / 2).exp() / STROKES
        for body in one.bodies:
            if body.hum:
                page[len(scene.DIGITS) + body.digit] += body.hum.loudness(times) / HUMS
        pages.append(page.unflatten(1, (-1, FINE)).mean(-1).T.half())
    return torch.stack(pages)


def draw_levels(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise levels of n pictures and of their sounds, (n,) each; 0 where one is given."""
    first, other = (video.levels(n, generator) for _ in range(2))
    kind = torch.rand(n, generator=generator)
    lead = MOST_AHEAD ** torch.rand(n, generator=generator)
    other = other[torch.randperm(n, generator=generator)]
    second = torch.where(kind < BOTH, diffusion.shift(first, lead), other)
    given, heard = (
        (kind >= BOTH) & (kind < BOTH + SEEN),
        (kind >= BOTH + SEEN) & (kind < BOTH + SEEN + HEARD),
    )
    return first.masked_fill(given, 0), second.masked_fill(heard, 0)


def loss(
    network: nn.Module,
    made: tuple[Tensor, ...],
    generator: torch.Generator,
    levels: Callable[[int, torch.Generator], tuple[Tensor, Tensor]] = draw_levels,
) -> Tensor:
    """The velocities of picture and sound, each where it is not given, and the guesses; both count the same.

    levels: draws the noise levels of both. Where one is all noise, its velocity cannot be known but on
    average, and it does not count either. made: latents of both; what is heard, where guesses are asked
    for, which count at every noise level; tokens.
    """
    pictures, sounds, *heard, asked = made
    clean = pictures, sounds
    t = [level.to(asked.device) for level in levels(len(asked), generator)]
    noise = [torch.randn(x.shape, generator=generator).to(x.device) for x in clean]
    x_t = [diffusion.mix(PATH, x, e, level) for x, e, level in zip(clean, noise, t, strict=True)]
    given = tuple(x_t), tuple(t), asked
    said, guesses = network.both(*given) if heard else (network(*given), ())
    missed = sum(
        _missed(out.float(), e - x, level)
        for out, x, e, level in zip(said, clean, noise, t, strict=True)
    )
    wrong = [_wrong(guess - moments(*heard, *guess.shape[1:3])) for guess in guesses]
    return missed + GUESS * sum(wrong) / 2


def _missed(out: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of what is neither given nor all noise."""
    error = (out - velocity).square().flatten(1).mean(1)
    return (error * ((t > 0) & (t < 1))).mean()


def _wrong(error: Tensor) -> Tensor:
    """Mean squared error of guesses; loudness, notes and hums count the same."""
    parts = error.square().split([1, len(scene.DIGITS), len(scene.DIGITS)], -1)
    return sum(part.mean() for part in parts) / len(parts)


def moments(heard: Tensor, n: int, each: int) -> Tensor:
    """What n tokens should guess, `each` moments a token: (b, s, k) -> (b, n, each, k).

    A token of sound guesses the moments that it lasts. All tokens of picture of one latent frame guess the
    same; the first lasts one frame, not four, so each of its moments is there four times.
    """
    if n * each == heard.shape[1]:
        return heard.unflatten(1, (n, each))
    first, rest = heard.tensor_split([patches.SOUNDS], 1)
    frames = torch.cat([first.repeat_interleave(patches.FRAMES, 1), rest], 1)
    frames = frames.unflatten(1, (-1, each))
    return frames.repeat_interleave(n // frames.shape[1], 1)


def build(size: int = USUAL.width) -> TextToClip:
    """The network, knowing what `video` of that size knows."""
    return begun(TextToClip(len(TOKENISER.words), codec.SIZES[size][0]), size)


def begun(network: TextToClip, size: int = USUAL.width) -> TextToClip:
    """The network, knowing what `video` of that size knows; sound begins by thinking as the picture does."""
    silent = TextToVideo(len(TOKENISER.words), codec.SIZES[size][0], taught=TAUGHT)
    known = weights.load(called("video", size), silent).state_dict()
    for name in network.state_dict():
        if "sound_" in name and not name.startswith(("dit.sound_stem", "dit.sound_out")):
            known[name] = known[name.replace("sound_", "")]
    network.load_state_dict(known, strict=False)
    network.text.requires_grad_(False)
    return network


def generator_of(network: TextToClip, size: int = USUAL.width) -> JointGenerator:
    """The network, ready to be asked for clips of that size."""
    where = next(network.parameters()).device
    codecs = latents.video_codec(size).to(where), audio_codec().to(where)
    return JointGenerator(network, codecs[0], TOKENISER, codecs[1])


def score(network: TextToClip, n: int, seed: int, size: int = USUAL.width) -> dict:
    """The pictures as those of `video`; whether sound and picture belong together; either for the other.

    `full_` rows: of everything a caption says, in scenes of the full world, of which the rows of sync are,
    too, but for the `easy_` ones; `sound_for_` rows: for the pictures of real clips, whose sound is not
    heard; `picture_for_` rows: for their sounds. Ceilings: real clips.
    """
    ready, drawn = generator_of(network, size), []

    def draw(sentences: list[str], seed: int) -> Tensor:
        drawn.append(ready.draw(sentences, seed))
        return drawn[-1].video

    rows = clips.scored(draw, n, seed, ready.usual)
    # It first asks for these scenes, of which the pictures were scored; here are their sounds.
    easy = _real(held_out.draw_scenes(n, seed), ready.usual)
    ceiling = _belong(sync.watch(easy.video), easy.audio)
    made = Clip(*(torch.cat(kind)[:n].cpu() for kind in zip(*drawn, strict=True)))
    rows |= _under(ceiling, _belong(sync.watch(made.video), made.audio), "easy_")
    scenes = held_out.draw_scenes(n, seed + 5, held_out.SEEN, scene.FULL)
    said, real = [captions.write(one.describe()) for one in scenes], _real(scenes, ready.usual)
    viewer = referee()
    truth = clips.look(viewer, real.video)
    ceiling = _belong(sync.sightings(truth), real.audio)
    made = in_parts(lambda some, seed: ready.draw(said[some], seed), n, seed)
    seen = clips.look(viewer, made.video)
    shown = agreement([one.describe() for one in scenes], seen, truth)
    rows |= {f"full_{key}": row for key, row in shown.items()}
    rows |= _under(ceiling, _belong(sync.sightings(seen), made.audio))
    made = in_parts(
        lambda some, seed: ready.watching(real.video[some]).draw(said[some], seed), n, seed
    )
    rows |= _under(ceiling, _belong(sync.sightings(truth), made.audio), "sound_for_")
    made = in_parts(
        lambda some, seed: ready.hearing(real.audio[some]).draw(said[some], seed), n, seed
    )
    return rows | _under(ceiling, _belong(sync.watch(made.video), real.audio), "picture_for_")


def _real(scenes: list[scene.Scene], shape: Format) -> Clip:
    return Clip(video.filming(shape)(scenes), sound.audio(scenes, frames=shape.frames))


def _belong(seen: list[sync.Sighting], audio: Tensor) -> dict:
    """Rows of what is seen against a sound."""
    return sync.table(seen, listener.listen(audio), USUAL.frames)


def _under(ceiling: dict, rows: dict, prefix: str = "") -> dict:
    """The rows under what real clips reach: their own rows."""
    best = {key: row["ours"] for key, row in ceiling.items()}
    return {prefix + key: row | {"ceiling": best.get(key)} for key, row in rows.items()}


def in_parts(draw: Callable[[slice, int], Clip], n: int, seed: int, at_once: int = 50) -> Clip:
    """n clips with their sounds, drawn some at a time: draw(which of them, seed)."""
    starts = with_bar(range(0, n, at_once), "drawing", at_once)
    parts = [draw(slice(k, k + at_once), seed + k) for k in starts]
    return Clip(*(torch.cat(many).cpu() for many in zip(*parts, strict=True)))


RECIPE = Recipe(
    what="a diffusion transformer that turns static into clips with their sound, or makes one for the other",
    build=build,
    draw=batch,
    loss=loss,
    plans={
        "laptop": dataclasses.replace(
            video.RECIPE.plans["laptop"], steps=7000, batch=48, decay=0.6
        ),
        "gpu": dataclasses.replace(video.RECIPE.plans["gpu"], steps=6950, decay=0.5),
    },
    score=score,
    in_bytes=True,
)

JOINT_64 = of_size(
    gpu_only(RECIPE),
    64,
    "a diffusion transformer that turns static into clips of 64×64 with their sound",
)
