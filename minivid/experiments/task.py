"""The small task on which transformers are compared: short clips of the easy world, in latents.

Five frames of 32×32 are 32 tokens, so a training takes minutes. What is compared is the loss on clips
never trained on, with noise and noise levels that are the same for all: pairs, so small differences show.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minivid import generator, train
from minivid.experiments.keeping import Follow
from minivid.recipes import cache, clips, held_out, latents, video
from minivid.recipes.words import write_captions
from minivid.world import render, scene

SHAPE = generator.Format(5, 32, 32)
KEPT, JUDGED = 8000, 256  # clips to train on, and to compare on
PLAN = train.Plan(1000, 32, learning_rate=1e-3, muon=0.02, decay=0.3, ema=0.995, precision="bf16")
WIDTH, DEPTH = 128, 6


@functools.cache
def data() -> tuple[Tensor, list[scene.Scene], Tensor, list[str]]:
    """Latents and scenes to train on, latents and sentences to compare on."""

    def make(some: list[scene.Scene]) -> Tensor:
        return render.video(some, SHAPE.frames)

    network = latents.video_codec()
    scenes = held_out.draw_scenes(KEPT, train.step_seed(0, 0))
    others = held_out.draw_scenes(JUDGED, 0)
    kept = cache.latents("task", network, scenes, make)
    judged = cache.encode("the task", network, others, make)
    return kept, scenes, judged, write_captions(others, torch.Generator().manual_seed(0))


def network(seed: int, width: int = WIDTH, depth: int = DEPTH) -> generator.TextToVideo:
    """A small one of the library's."""
    torch.manual_seed(seed)
    return generator.TextToVideo(len(video.TOKENISER.words), width=width, depth=depth)


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Latents (b, 8, 2, 8, 8) and tokens (b, n)."""
    kept, scenes, _, _ = data()
    which = torch.randint(len(kept), (plan.batch,), generator=generator)
    sentences = write_captions([scenes[k] for k in which], generator)
    return kept[which].float(), video.tokens(clips.some_unsaid(sentences, generator))


def asked(n: int, seed: int) -> list[scene.Description]:
    """What to ask for: scenes of the easy world."""
    return [one.describe() for one in held_out.draw_scenes(n, seed)]


@torch.no_grad()
def held_out_loss(model: nn.Module, loss: train.Loss = latents.loss) -> Tensor:
    """The loss of each 32 of the clips to compare on: (JUDGED / 32,). Same noise for every model."""
    _, _, judged, sentences = data()
    draws = torch.Generator().manual_seed(1)
    parts = [slice(start, start + 32) for start in range(0, JUDGED, 32)]
    losses = [
        loss(model, (judged[part], video.tokens(sentences[part])), draws).item() for part in parts
    ]
    return torch.tensor(losses)


def flops(model: nn.Module) -> int:
    """FLOPs of one training step on one clip, forward and backward, a multiply-add being two."""
    made = batch(train.Plan(1, 1, 1e-3), torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH):
        latents.loss(model, made, torch.Generator().manual_seed(0)).backward()
    model.zero_grad()
    return counted.get_total_flops()


def trained(
    model: nn.Module,
    seed: int,
    follow: Follow,
    what: str,
    plan: train.Plan | None = None,
    loss: train.Loss = latents.loss,
    every: int = 200,
) -> tuple[nn.Module, list[dict]]:
    """The averaged network, and a curve of held-out losses: [{"step", "seconds", "loss"}]."""
    plan, curve, last = replace(plan or PLAN, seed=seed), [], None
    steps: Iterator[train.Progress] = train.train(model, loss, lambda g: batch(plan, g), plan)
    for last in follow(steps, plan.steps, f"{what}, seed {seed}"):
        if last.step % every == 0 or last.step == plan.steps:
            mean = held_out_loss(last.network, loss).mean().item()
            curve.append(
                {"step": last.step, "seconds": round(last.seconds, 1), "loss": round(mean, 5)}
            )
    return last.network, curve
