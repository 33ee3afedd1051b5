"""The small task on which transformers are compared: short clips of the easy world, in latents.

Five frames of 32×32 are 32 tokens, so a training takes minutes. What is compared is the loss on clips
never trained on, with noise and noise levels that are the same for all: pairs, so small differences show.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import diffusion, generator, train
from minivid.experiments.keeping import Follow, means, plain
from minivid.recipes import cache, clips, held_out, latents, results, teacher, video
from minivid.recipes.judging import referee
from minivid.recipes.words import write_captions
from minivid.world import captions, scene

SHAPE = generator.Format(5, 32, 32)
KEPT, JUDGED = 8000, 256  # clips to train on, and to compare on
PLAN = train.Plan(600, 32, learning_rate=1e-3, muon=0.02, decay=0.3, ema=0.995, compiled=True)
WIDTH, DEPTH = 128, 6
WALK = {"steps": 8, "move": diffusion.heun}  # from static to clips: no chance on the way


@functools.cache
def shown(kept: int) -> Tensor:
    """What each token of the latents to train on shows, as the teacher sees it: (kept, TAUGHT, 2, 4, 4)."""
    return cache.latents(
        f"task-shown-{kept}",
        teacher.teacher(generator.TAUGHT),
        training_set(kept)[1],
        video.filming(SHAPE),
    )


@functools.cache
def training_set(kept: int) -> tuple[Tensor, list[scene.Scene]]:
    """Latents to train on, and their scenes."""
    scenes = held_out.draw_scenes(kept, train.step_seed(0, 0))
    made = cache.latents(f"task-{kept}", latents.video_codec(), scenes, video.filming(SHAPE))
    return made, scenes


@functools.cache
def judged() -> tuple[Tensor, list[str]]:
    """Latents and sentences to compare on."""
    scenes = held_out.draw_scenes(JUDGED, 0)
    made = cache.encode("the task", latents.video_codec(), scenes, video.filming(SHAPE))
    return made, write_captions(scenes, torch.Generator().manual_seed(0))


def network(
    seed: int, width: int = WIDTH, depth: int = DEPTH, taught: int = 0
) -> generator.TextToVideo:
    """A small one of the library's, whose text encoder can read and learns no more."""
    torch.manual_seed(seed)
    return video.with_reader(
        generator.TextToVideo(len(video.TOKENISER.words), width=width, depth=depth, taught=taught)
    )


def batch(
    plan: train.Plan, generator: torch.Generator, kept: int | None = None
) -> tuple[Tensor, ...]:
    """Latents (b, 8, 2, 8, 8) and tokens (b, n). kept: how many clips are trained on; KEPT if not said."""
    made, scenes = training_set(kept or KEPT)
    return latents.pick(made, scenes, plan.batch, generator, video.tokens)


def as_asked(draw: Callable[[list[str]], Tensor], n: int, seed: int) -> tuple[dict, Tensor]:
    """{"digit", "colour", "heading", "all"} as asked for, [share, low, high]; and what was drawn.

    draw: sentences -> clips; asked for are n scenes of the easy world.
    """
    asked = [one.describe() for one in held_out.draw_scenes(n, seed)]
    drawn = draw([captions.write(one) for one in asked])
    seen = clips.look(referee(), drawn)
    rows = clips.asked_rows(asked, seen, seen)
    return plain(rows), drawn


@torch.no_grad()
def held_out_loss(model: nn.Module, loss: train.Loss = video.loss) -> Tensor:
    """The loss of each 32 of the clips to compare on: (JUDGED / 32,). Same noise for every model."""
    made, sentences = judged()
    draws = torch.Generator().manual_seed(1)
    parts = [slice(start, start + 32) for start in range(0, JUDGED, 32)]
    losses = [
        loss(model, (made[part], video.tokens(sentences[part])), draws).item() for part in parts
    ]
    return torch.tensor(losses)


def flops(model: nn.Module) -> int:
    """FLOPs of one training step on one clip, forward and backward, a multiply-add being two."""
    made = batch(train.Plan(1, 1, 1e-3), torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(0)
    counted = results.flops_of(lambda: video.loss(model, made, draws).backward())
    model.zero_grad()
    return counted


def reading(model: generator.TextToVideo) -> int:
    """How many of them go into reading the sentence, which is not learned here."""
    _, said = batch(train.Plan(1, 1, 1e-3), torch.Generator().manual_seed(0))
    with torch.no_grad():
        return results.flops_of(lambda: model.text(said))


def trained(
    model: nn.Module,
    seed: int,
    follow: Follow,
    what: str,
    plan: train.Plan | None = None,
    loss: train.Loss = video.loss,
    every: int = 200,
    draw: train.Draw | None = None,
) -> tuple[nn.Module, dict]:
    """The averaged network, and {"loss": [value, low, high], "curve": [{"step", "seconds", "loss"}]}.

    All losses are held-out ones. draw: where another batch than this task's is trained on.
    """
    plan, curve = replace(plan or PLAN, seed=seed), []
    draw = draw or functools.partial(batch, plan)
    steps: Iterator[train.Progress] = train.train(model, loss, draw, plan)
    for last in follow(steps, plan.steps, f"{what}, seed {seed}"):
        if last.step % every == 0 or last.step == plan.steps:
            losses = held_out_loss(last.network, loss)
            mean, seconds = round(losses.mean().item(), 5), round(last.seconds, 1)
            curve.append({"step": last.step, "seconds": seconds, "loss": mean})
    return last.network, {**means({"loss": losses}), "curve": curve}
