"""The race: a sentence becomes a clip, by our ways and by three other libraries', in CPU-seconds.

    pip install -r benchmarks/requirements.txt
    python benchmarks/peers.py                     # all that is missing, then the table and the plot
    python benchmarks/peers.py --only Latte --seed 0

All learn from clips of the easy world drawn by one simulator, on one thread, for the same CPU-seconds, in the
same loop with the same moving average of weights, and draw with as many network calls. All read sentences
with text encoders of the course that learn no more. Other libraries' networks are as they are published; what
they predict, how they are optimized and their sizes were chosen in short trials (`--trial`), see RESULTS.
The clock counts drawing clips and learning from them; for latents also encoding the clips to learn from, not
the training of the autoencoder, whose seconds are printed beside. Looking at what is drawn is not counted.
A run that is done is not done again.
"""

import argparse
import contextlib
import functools
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import MagicMock

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # or others compile, off the clock

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from tqdm.auto import tqdm

from minivid import diffusion, files, generator, metrics, recipes, text, train
from minivid.experiments.race import arrival
from minivid.recipes import cache, clips, held_out, latents, teacher, video
from minivid.recipes.judging import referee
from minivid.recipes.words import write_captions
from minivid.unet import VideoUNet
from minivid.world import render

RESULTS = Path(__file__).with_name("peers.json")
DRAWN = Path(__file__).with_name("peers.npz")
SEEDS = (0, 1, 2)
SECONDS = 600.0  # on each clock
EVERY = 100.0  # from look to look
ASKED, ASKED_LAST = 60, 150  # clips in a look, and in the last one
KEPT = 4000  # clips whose latents are trained on
GUIDANCE = 3.0
STEPS = 8  # of Heun: 15 looks, each with the sentence and without, 30 network calls
PLAN = train.Plan(1_000_000, 16, 1e-3, decay=1e-6, ema=0.99)


@dataclass(frozen=True)
class Contestant:
    """What is trained in the race, and how it draws.

    build: a network (x_t, t, asked) -> what it predicts; batch: (plan, generator) -> clean clips or
    latents, and what is asked; hear: sentences -> what is asked; decode: what is drawn -> clips
    (b, 3, f, h, w).
    """

    name: str
    by: str
    settings: str
    build: Callable[[], nn.Module]
    plan: train.Plan
    batch: train.Draw
    loss: train.Loss | None = None
    predicts: diffusion.Predicts = "velocity"
    path: diffusion.Path = clips.PATH
    shift: float = clips.SHIFT
    shape: tuple[int, ...] = (3, 17, 32, 32)
    hear: Callable[[Sequence[str]], Tensor] = clips.understand
    decode: Callable[[Tensor], Tensor] = field(default=lambda x: x)
    every: float = EVERY

    def missed(
        self, network: nn.Module, made: tuple[Tensor, ...], noise: torch.Generator
    ) -> Tensor:
        """The loss."""
        if self.loss is not None:
            return self.loss(network, made, noise)
        levels = functools.partial(clips.draw_t, by=self.shift)
        return clips.loss(network, made, noise, self.predicts, levels, self.path)

    def draw(self, network: nn.Module, sentences: Sequence[str], seed: int) -> Tensor:
        """Clips of what the sentences ask for: (b, 3, 17, 32, 32)."""
        noise = torch.randn(
            len(sentences), *self.shape, generator=torch.Generator().manual_seed(seed)
        )
        asked, unasked = self.hear(sentences), self.hear([""] * len(sentences))
        towards = diffusion.conditional(
            network.eval(), asked, unasked, GUIDANCE, self.path, self.predicts
        )
        times = diffusion.schedule(STEPS, self.shift)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.plan.precision == "bf16"):
            *_, last = diffusion.sample(towards, noise, times, self.path, diffusion.heun)
        return self.decode(last.x_t.float()).clamp(-1, 1)


def clock() -> float:
    """CPU-seconds of this process and of what it started and waited for, such as a compiler."""
    return sum(os.times()[:4])


# Ours --------------------------------------------------------------------------------------------


@functools.cache
def kept_clips(seed: int) -> tuple[list, Tensor, Tensor]:
    """Scenes to train on, their latents, and what these show, as the teacher sees it."""
    scenes = held_out.draw_scenes(KEPT, train.step_seed(seed, 0))
    made = cache.encode("clips", latents.video_codec(), scenes, render.video)
    shown = cache.encode("what they show", teacher.teacher(generator.TAUGHT), scenes, render.video)
    return scenes, made, shown


def of_latents(plan: train.Plan, draws: torch.Generator) -> tuple[Tensor, ...]:
    """Latents and captions as vectors."""
    scenes, made, _ = kept_clips(plan.seed)
    return latents.pick(made, scenes, plan.batch, draws)


def of_taught_latents(plan: train.Plan, draws: torch.Generator) -> tuple[Tensor, ...]:
    """Latents, what they show, and captions' tokens."""
    scenes, made, shown = kept_clips(plan.seed)
    return latents.pick_all([made, shown], scenes, plan.batch, draws, video.tokens)


def decoded(x: Tensor) -> Tensor:
    """The clips that latents stand for."""
    with torch.no_grad():
        return latents.video_codec().decode(x)


def our_transformer() -> nn.Module:
    """The transformer of notebook 07, two blocks shallower."""
    words = len(video.TOKENISER.words)
    return video.with_reader(generator.TextToVideo(words, depth=6, taught=generator.TAUGHT))


MUON = replace(PLAN, batch=32, muon=0.02, precision="bf16")
LATENT = {"shift": generator.SHIFT, "shape": (8, 5, 8, 8), "decode": decoded}
OURS = (
    Contestant(
        "latent DiT",
        "minivid",
        "TextToVideo(width=128, depth=6), taught by the clip encoder; batch 64, Muon 0.02, bf16, compiled",
        our_transformer,
        replace(MUON, batch=64, compiled=True),
        of_taught_latents,
        video.loss,
        hear=video.tokens,
        **LATENT,
    ),
    Contestant(
        "latent U-Net",
        "minivid",
        "VideoUNet(8, width=32); batch 32, Muon 0.02, bf16",
        lambda: VideoUNet(8, fold=1, moment=1, width=32, blocks=1),
        MUON,
        of_latents,
        **LATENT,
    ),
    Contestant(
        "pixel U-Net",
        "minivid",
        "VideoUNet(fold=4, moment=2, width=32), predicts clean; batch 32, Muon 0.02, bf16",
        lambda: VideoUNet(fold=4, moment=2, width=32, blocks=1),
        MUON,
        clips.batch,
        predicts="clean",
    ),
)

# Others' -----------------------------------------------------------------------------------------


def pictures(plan: train.Plan, draws: torch.Generator) -> tuple[Tensor, ...]:
    """Clips of the easy world and captions' tokens; as `clips.batch`, which gives vectors."""
    scenes = held_out.draw_scenes(plan.batch, draws)
    said = clips.some_unsaid(write_captions(scenes, draws), draws)
    return render.video(scenes), video.tokens(said)


@contextlib.contextmanager
def without_torchvision() -> Iterator[None]:
    """Two of the packages import torchvision, for files of pictures; their networks do without it."""
    missing = find_spec("torchvision") is None
    names = ["torchvision", "torchvision.transforms", "torchvision.utils"] if missing else []
    sys.modules.update((name, MagicMock()) for name in names)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


class FramesAsChannels(nn.Module):
    """denoising-diffusion-pytorch's guided Unet; the frames are its channels, a sentence its class."""

    def __init__(self, dim: int):
        super().__init__()
        with without_torchvision():
            from denoising_diffusion_pytorch.classifier_free_guidance import Unet

        self.unet = Unet(dim, num_classes=1, channels=3 * 17, dim_mults=(1, 2, 4))
        self.unet.classes_emb = nn.Linear(text.TextEncoder(1).width, dim)

    def forward(self, x_t: Tensor, t: Tensor, asked: Tensor) -> Tensor:
        x = rearrange(x_t, "b c f h w -> b (c f) h w")
        y = self.unet(x, 1000 * t, asked, cond_drop_prob=0.0)
        return rearrange(y, "b (c f) h w -> b c f h w", c=3)


class InSpaceAndTime(nn.Module):
    """video-diffusion-pytorch's Unet3D (Ho et al. 2022), told the sentence as a vector."""

    def __init__(self, dim: int, heads: int = 2):
        super().__init__()
        with without_torchvision():
            from video_diffusion_pytorch import Unet3D

        width = text.TextEncoder(1).width
        self.unet = Unet3D(dim, cond_dim=width, dim_mults=(1, 2, 4), attn_heads=heads)

    def forward(self, x_t: Tensor, t: Tensor, asked: Tensor) -> Tensor:
        return self.unet(x_t, 1000 * t, cond=asked)


class LatteOfText(nn.Module):
    """diffusers' Latte (Ma et al. 2024): attention within frames and along time in turn, words across."""

    def __init__(
        self, layers: int, channels: int = 3, frames: int = 17, side: int = 32, patch: int = 4
    ):
        super().__init__()
        from diffusers import LatteTransformer3DModel

        self.text = our_transformer().text
        self.latte = LatteTransformer3DModel(
            num_attention_heads=4,
            attention_head_dim=32,
            in_channels=channels,
            num_layers=layers,
            cross_attention_dim=128,
            attention_bias=True,
            sample_size=side,
            patch_size=patch,
            activation_fn="gelu-approximate",
            norm_type="ada_norm_single",
            norm_elementwise_affine=False,
            caption_channels=self.text.width,
            video_length=frames,
        )

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        words, _ = self.text(tokens)
        unheard = (~text.heard(tokens)).float()[:, None] * -1e4
        unheard = unheard.repeat_interleave(x_t.shape[2], 0)
        return self.latte(x_t, 1000 * t, words, unheard).sample


THEIRS = (
    Contestant(
        "frames as channels",
        "denoising-diffusion-pytorch",
        "Unet(32, dim_mults=(1, 2, 4)), guided, predicts clean; batch 16, Muon 0.02, bf16",
        lambda: FramesAsChannels(32),
        replace(MUON, batch=16),
        clips.batch,
        predicts="clean",
    ),
    Contestant(
        "Latte",
        "diffusers",
        "LatteTransformer3DModel(4 heads of 32, 2 layers, patch 4), predicts clean; batch 16, Muon 0.02",
        lambda: LatteOfText(2),
        replace(MUON, batch=16, precision="fp32"),
        pictures,
        predicts="clean",
        hear=video.tokens,
    ),
    Contestant(
        "Unet3D",
        "video-diffusion-pytorch",
        "Unet3D(16, dim_mults=(1, 2, 4), attn_heads=2), predicts clean; batch 8, Muon 0.02, bf16",
        lambda: InSpaceAndTime(16),
        replace(MUON, batch=8),
        clips.batch,
        predicts="clean",
        every=SECONDS,
    ),
)
CONTESTANTS = {one.name: one for one in (*OURS, *THEIRS)}

# The race ----------------------------------------------------------------------------------------


def race(one: Contestant, seed: int, seconds: float) -> tuple[dict, Tensor]:
    """Train for so many CPU-seconds: {"steps", "curve", "last", …}, and clips drawn at the end."""
    plan, spent, curve = replace(one.plan, seed=seed), 0.0, []
    torch.manual_seed(seed)
    network = one.build()
    began = clock()
    if one.shape != CONTESTANTS["pixel U-Net"].shape:
        kept_clips(seed)
    steps = train.train(network, one.missed, functools.partial(one.batch, plan), plan)
    spent += clock() - began
    with tqdm(total=round(seconds), desc=f"{one.name}, seed {seed}", unit="s") as bar:
        while spent < seconds:
            began = clock()
            progress = next(steps)
            spent += clock() - began
            bar.update(min(round(spent), bar.total) - bar.n)
            if spent >= one.every * (len(curve) + 1) and spent < seconds:
                rows, _ = look(one, progress.network, ASKED, seed)
                curve.append({"seconds": round(spent, 1), "step": progress.step, **rows})
    rows, drawn = look(one, progress.network, ASKED_LAST, seed + 10)
    curve.append({"seconds": round(spent, 1), "step": progress.step, **rows})
    return {
        "by": one.by if one.by == "minivid" else f"{one.by} {version(one.by)}",
        "settings": one.settings,
        "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "steps": progress.step,
        "curve": curve,
    }, drawn[:8]


def look(one: Contestant, network: nn.Module, n: int, seed: int) -> tuple[dict, Tensor]:
    """What the judge sees of what was asked, [share, low, high]; of many clips toy-FVD, too."""
    draw = functools.partial(one.draw, network)
    scenes, drawn, real = clips.ask(draw, n, seed, held_out.SEEN)
    asked = [scene.describe() for scene in scenes]
    seen = clips.look(referee(), drawn)
    rows = clips.asked_rows(asked, seen, seen)
    found = {key: [row["ours"], *row["interval"]] for key, row in rows.items()}
    if n > clips.FEATURES:
        found["identity"] = list(metrics.share(torch.tensor([clip.same_digit for clip in seen])))
        others = clips.features(render.video(held_out.draw_scenes(n, seed + 2)))
        found["toy_fvd"], found["toy_fvd_of_real"] = (
            metrics.frechet(clips.features(video), others) for video in (drawn, real)
        )
    return found, drawn


def read() -> dict:
    """What was found so far: {name: {seed: what `race` gives}}."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def keep(name: str, seed: int, found: dict, drawn: Tensor) -> None:
    """Add what one run found to what is kept; of the first seed the clips, too."""
    rows = read()
    rows.setdefault(name, {})[str(seed)] = found
    files.write(RESULTS, (json.dumps(rows, indent=1) + "\n").encode())
    if seed == SEEDS[0]:
        clips_kept = dict(np.load(DRAWN)) if DRAWN.exists() else {}
        clips_kept[name] = ((drawn + 1) * 127.5).round().to(torch.uint8).numpy()
        content = io.BytesIO()
        np.savez_compressed(content, **clips_kept)
        files.write(DRAWN, content.getvalue())


# What came of it ---------------------------------------------------------------------------------


def table(found: dict) -> list[str]:
    """The results as Markdown: the last look, the mean over seeds with the lowest and the highest."""
    lines = [
        "| | by | steps | all as asked | digit | heading | one digit in all frames | toy-FVD |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in (name for name in CONTESTANTS if name in found):
        runs = list(found[name].values())
        cells = [name, runs[0]["by"], f"{sum(run['steps'] for run in runs) / len(runs):,.0f}"]
        for key in ("all", "digit", "heading", "identity"):
            values = [run["curve"][-1][key][0] for run in runs]
            cells.append(spread(values))
        cells.append(spread([run["curve"][-1]["toy_fvd"] for run in runs]))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def spread(values: list[float]) -> str:
    """Mean, lowest and highest."""
    return f"{sum(values) / len(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def ratios(found: dict, ours: str = "latent DiT") -> dict[str, dict]:
    """For each seed: who of the others did best in the end, and when ours had done as well."""
    result = {}
    for seed in map(str, SEEDS):
        ends = {
            one.name: found[one.name][seed]["curve"][-1]["all"][0]
            for one in THEIRS
            if seed in found.get(one.name, {})
        }
        if len(ends) < len(THEIRS) or seed not in found.get(ours, {}):
            continue
        best = max(ends, key=ends.get)
        curve = [{**point, "all": point["all"][0]} for point in found[ours][seed]["curve"]]
        there = arrival(curve, ends[best])
        result[seed] = {"best": best, "all": ends[best], "arrival": there}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CONTESTANTS, action="append")
    parser.add_argument("--seed", type=int, choices=SEEDS, action="append")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed, name in itertools.product(options.seed or SEEDS, options.only or CONTESTANTS):
        if str(seed) in read().get(name, {}):
            continue
        found, drawn = race(CONTESTANTS[name], seed, options.seconds)
        keep(name, seed, {**found, "machine": recipes.machine()}, drawn)
    print("\n".join(table(read())))
    for seed, row in ratios(read()).items():
        print(
            f"seed {seed}: {row['best']} ends at {row['all']:.2f}; ours is there after {row['arrival']} s"
        )


if __name__ == "__main__":
    main()
