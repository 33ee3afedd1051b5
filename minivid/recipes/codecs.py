"""The two autoencoders, taught on the full world: what they keep is all that later models can say."""

from functools import partial

import torch
from torch import Tensor

from minivid import codec, judge, listener, metrics, train
from minivid.generator import USUAL
from minivid.recipes import clips
from minivid.recipes.judging import agreement, referee
from minivid.recipes.recipe import Recipe, entry, measured, of_size, with_bar
from minivid.world import render, scene, sound

FORMATS = (*3 * ((32, 32),), (24, 24), (40, 40), (24, 32), (32, 24), (32, 40), (40, 32))  # h, w
WIDER = (40, 56)  # h, w: a larger frame than training shows, of digits as large as some it shows
LARGER = (48, 48)  # one in which the digits too are larger than any it shows
SQUARE = 5.0  # how much a squared error counts beside the absolute one
INK = 2.0  # how much more a pixel of full colour counts than a grey one
LAST = 0.06  # seconds at a clip's end in which a stroke is not counted
SPECTRA = (128, 512, 2048)  # samples in a window
KL = 1e-4  # how much a nat of KL a latent costs, in mean absolute errors


def batch(
    plan: train.Plan, generator: torch.Generator, size: int = USUAL.width
) -> tuple[Tensor, ...]:
    """Clips of the full world (b, 3, 17, h, w), one format a batch; size: what is 32 pixels in FORMATS."""
    scale = size // USUAL.width
    height, width = FORMATS[int(torch.randint(len(FORMATS), (), generator=generator))]
    return (draw_clips(plan.batch, generator, scale * height, scale * width),)


def draw_clips(
    n: int, seed: int | torch.Generator, height: int = 32, width: int = 32, frames: int = 17
) -> Tensor:
    """Clips of the full world: (n, 3, frames, height, width)."""
    scenes = scene.draw_scenes(n, seed, scene.FULL, render.room_for(height, width))
    return render.video(scenes, frames, height, width)


def loss(
    network: codec.VideoCodec,
    batch: tuple[Tensor, ...],
    generator: torch.Generator,
    pressure: float = KL,
) -> Tensor:
    """Absolute and squared error, coloured pixels counted for more, and a little KL.

    The square is what PSNR counts; the absolute error goes on pulling where all is nearly right.
    pressure: the weight of the KL.
    """
    (clip,) = batch
    mean, log_variance = network.posterior(clip)
    drawn = codec.sample(mean, log_variance, generator)
    error = (network.reconstruct(drawn) - clip).float().abs()
    colourful = (clip.amax(1, keepdim=True) - clip.amin(1, keepdim=True)) / 2
    error = error + SQUARE * error.square()
    return (error * (1 + INK * colourful)).mean() + pressure * codec.kl(mean, log_variance)


@torch.no_grad()
def score(network: codec.VideoCodec, n: int, seed: int, size: int = USUAL.width) -> dict:
    """What clips of the full world lose on the way through the codec; size: as in `batch`.

    psnr: decibels, the mean over clips; floor: another clip in its place. wider_psnr, larger_psnr: of
    formats never trained on. Then what the judge reads, against what was so; ceiling: what it reads in
    the originals. moved: short sides between a digit's place before and after.
    """
    viewer, scale = referee(), size // USUAL.width
    scenes = scene.draw_scenes(n, seed, scene.FULL)
    originals = render.video(scenes, height=size, width=size)
    copies = through(network, originals)
    floor = metrics.psnr(originals.roll(1, 0), originals).mean().item()
    table = {"psnr": measured(metrics.bootstrap(metrics.psnr(copies, originals)), floor)}
    for key, (height, width) in (("wider_psnr", WIDER), ("larger_psnr", LARGER)):
        more = draw_clips(max(2, n // 4), seed + 1, scale * height, scale * width)
        table[key] = measured(metrics.bootstrap(metrics.psnr(through(network, more), more)))
    truth = [one.describe() for one in scenes]
    before, after = clips.look(viewer, originals), clips.look(viewer, copies)
    table |= agreement(truth, after, before)
    moved = [_moved(a, b) for a, b in zip(before, after, strict=True)]
    return table | {"moved": measured(metrics.bootstrap(torch.cat(moved)))}


def _moved(before: judge.Seen, after: judge.Seen) -> Tensor:
    """How far each digit is from where it was, in short sides; digits are known by their colours."""
    where = {
        one.colour: at for one, at in zip(after.description.subjects, after.places, strict=True)
    }
    pairs = zip(before.description.subjects, before.places, strict=True)
    apart = [
        (at - where[one.colour]).norm(dim=-1).mean() for one, at in pairs if one.colour in where
    ]
    return torch.stack(apart) if apart else torch.empty(0)


@torch.no_grad()
def through(network: codec.Codec, many: Tensor, at_once: int = 50) -> Tensor:
    """Clips, or sounds, encoded and decoded: what is left of them, in [-1, 1]."""
    parts = with_bar(many.split(at_once), "encoding", at_once)
    return decoded(network, torch.cat([network.encode(part) for part in parts]), at_once)


@torch.no_grad()
def decoded(network: codec.Codec, latents: Tensor, at_once: int = 50) -> Tensor:
    """The clips, or sounds, that many latents stand for, in [-1, 1]."""
    parts = with_bar(latents.split(at_once), "decoding", at_once)
    return torch.cat([network.decode(part).clamp(-1, 1) for part in parts])


def finish(network: codec.Codec, size: int = USUAL.width) -> None:
    """Measure what the latents' channels are shifted and scaled by, on clips of the full world."""
    network.measure(draw_clips(1000, train.step_seed(0, 0), size, size))


VIDEO = Recipe(
    what="a causal autoencoder of clips: 4 frames of 4×4 pixels in 8 numbers",
    build=lambda size=USUAL.width: codec.VideoCodec(*codec.SIZES[size]),
    draw=batch,
    loss=loss,
    plans={
        "laptop": train.Plan(
            24_000, 8, learning_rate=1.5e-3, muon=0.015, decay=0.8, precision="bf16"
        ),
        "gpu": train.Plan(20_000, 64, learning_rate=2e-3, muon=0.02, precision="bf16"),
    },
    score=score,
    finish=finish,
)

VIDEO_64 = of_size(
    VIDEO,
    64,
    "a causal autoencoder of clips of 64×64: 4 frames of 8×8 pixels in 12 numbers",
    finish=partial(finish, size=64),
)


# Sound -------------------------------------------------------------------------------------------


def audio_batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Sounds of the full world: (b, 17408)."""
    return (sound.audio(scene.draw_scenes(plan.batch, generator, scene.FULL)),)


def audio_loss(
    network: codec.AudioCodec, batch: tuple[Tensor, ...], generator: torch.Generator
) -> Tensor:
    """Absolute error of the waveform, and of its spectra at three resolutions, and a little KL.

    The waveform alone would neglect what is quiet, spectra alone the phase ("multi-resolution STFT
    loss", Yamamoto et al. 2019, arXiv 1910.11480).
    """
    (clip,) = batch
    mean, log_variance = network.posterior(clip)
    copy = network.reconstruct(codec.sample(mean, log_variance, generator)).float()
    wave = (copy - clip).abs().mean()
    heard = sum((_spectrum(copy, n) - _spectrum(clip, n)).abs().mean() for n in SPECTRA)
    return codec.QUIET * (wave + heard / len(SPECTRA)) + KL * codec.kl(mean, log_variance)


def _spectrum(clip: Tensor, size: int) -> Tensor:
    """Roots of magnitudes, so that what is quiet counts: (b, n) -> (b, frequencies, times).

    A tone of amplitude a comes out as sqrt(a) / 2.
    """
    window = torch.hann_window(size, device=clip.device)
    made = torch.stft(clip, size, size // 4, window=window, return_complex=True)
    return (made.abs() + 1e-4).sqrt() / size**0.5


@torch.no_grad()
def audio_score(network: codec.AudioCodec, n: int, seed: int) -> dict:
    """What the sound of the full world loses on the way through the codec.

    A stroke is kept where the same note is heard within 50 ms of it, late is the median distance in
    milliseconds (never heard counts as a second); hum: correlation of the loudness heard before and
    after. Floors: another clip's sound.
    """
    scenes = scene.draw_scenes(n, seed, scene.FULL)
    originals = sound.audio(scenes)
    copies = through(network, originals)
    before, after = listener.listen(originals), listener.listen(copies)
    floor = metrics.psnr(originals.roll(1, 0), originals).mean().item()
    kept, late = _strokes(before, after)
    kept_by_chance, late_by_chance = _strokes(before, after[1:] + after[:1])
    truth = [{body.digit for body in one.bodies if body.hum} for one in scenes]
    hums = [[one.humming == real for one, real in zip(told, truth, strict=True)]
            for told in (after, after[1:] + after[:1], before)]  # fmt: skip
    swells = _swells(before, after)
    return {
        "psnr": measured(metrics.bootstrap(metrics.psnr(copies, originals)), floor),
        "strokes": entry(kept, kept_by_chance, 1.0),
        "late": measured(metrics.median(late), late_by_chance.median().item(), 0.0),
        "hums": entry(hums[0], hums[1], sum(hums[2]) / n),
        "hum": measured(metrics.bootstrap(swells), None, 1.0),
    }


def _strokes(
    before: list[listener.Heard], after: list[listener.Heard]
) -> tuple[list[bool], Tensor]:
    """Of each stroke that was heard before: whether its note is heard after, and how far off, in ms.

    Strokes in a clip's last moment are left out: too little of them is there to tell the note.
    """
    end = before[0].hums.shape[1] * listener.HUM_STEP / scene.SAMPLE_RATE - LAST
    kept, late = [], []
    for was, now in zip(before, after, strict=True):
        for seconds, digit in zip(was.seconds, was.digits, strict=True):
            if seconds > end:
                continue
            same = now.seconds[now.digits == digit]
            apart = (same - seconds).abs().min().item() if len(same) else 1.0
            kept.append(apart < 0.05)
            late.append(1000 * apart)
    return kept, torch.tensor(late)


def _swells(before: list[listener.Heard], after: list[listener.Heard]) -> Tensor:
    """Correlation of the loudness of each hum before and after."""
    pairs = [
        torch.stack([was.hums[digit], now.hums[digit]])
        for was, now in zip(before, after, strict=True)
        for digit in was.humming
    ]
    return torch.stack([pair.corrcoef()[0, 1] for pair in pairs])


def audio_finish(network: codec.AudioCodec) -> None:
    """The same for sound."""
    network.measure(sound.audio(scene.draw_scenes(1000, train.step_seed(0, 0), scene.FULL)))


AUDIO = Recipe(
    what="an autoencoder of sound: 256 samples in 16 numbers",
    build=codec.AudioCodec,
    draw=audio_batch,
    loss=audio_loss,
    plans={
        "laptop": train.Plan(steps=3000, batch=16, learning_rate=2e-3),
        "gpu": train.Plan(steps=20_000, batch=64, learning_rate=2e-3),
    },
    score=audio_score,
    finish=audio_finish,
)
