"""Does a video model know the law, or the cases it saw? Clips continued at speeds never shown.

After PhyWorld (Kang et al. 2024, arXiv 2411.02385). The shipped video model learned from digits that
fly at 0.3 to 0.6 room sides a second. It is handed the first five frames of a real clip and
completes the rest; how fast does its digit fly on? Two ways to hand them over: put them where they
have to be at each noise level ("replacement"), or train some minutes more with clean first frames.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import diffusion, judge, metrics, recipes, train
from minivid.experiments.keeping import Follow, followed, keep, means
from minivid.recipes import clips
from minivid.recipes.judging import referee
from minivid.world import captions, render, scene

WHAT = "the first five frames of a clip continued, at speeds seen in training and not"
SEEDS = (0, 1, 2)
SPEEDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
SEEN = (0.3, 0.6)  # the speeds of training lie between these
GIVEN, MOMENTS = 5, 3  # frames that are handed over, and the network's moments they fill
PLAN = train.Plan(steps=300, batch=32, learning_rate=1e-3, decay=0.6, precision="bf16")


def draw_scenes(n: int, seed: int, speed: float) -> list[scene.Scene]:
    """Digits that set out from a wall, straight across the room, at one speed."""
    scenes = []
    for one in scene.draw_scenes(n, seed):
        body = replace(one.bodies[0], speed=speed, angle=0.0)
        free = ((1 - body.width) / 2, (1 - body.height) / 2)
        ways = [0.0 if abs(v) < 1e-9 else -v / abs(v) for v in body.velocity]
        start = [
            at if way == 0 else way * f for at, way, f in zip(body.start, ways, free, strict=True)
        ]
        scenes.append(replace(one, bodies=(replace(body, start=tuple(start)),)))
    return scenes


def replaced(field: diffusion.Field, clean: Tensor, noise: Tensor) -> diffusion.Field:
    """A field that leads the given frames to what they are: clean and noise (b, c, k, h, w).

    On the straight path from their noise their velocity is known; the network sees them as noisy as all
    other frames. "Replacement", as in RePaint (Lugmayr et al. 2022, arXiv 2201.09865).
    """

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        moves = field(x_t, t).clone()
        moves[:, :, : clean.shape[2]] = noise - clean
        return moves

    return velocity


def continued(network: nn.Module, asked: Tensor) -> diffusion.Field:
    """A field that keeps the given frames clean, and tells the network that they are.

    Their noise level is 0 and their velocity is nothing: a noise level for each moment.
    """

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        seen = network(x_t, levels(t, x_t.shape[2]), asked)
        moves = diffusion.views(clips.PATH, "clean", seen, x_t, t).velocity
        return torch.cat([torch.zeros_like(moves[:, :, :GIVEN]), moves[:, :, GIVEN:]], 2)

    return velocity


def levels(t: Tensor, frames: int) -> Tensor:
    """The noise level of each moment, 0 for those that are given: t (b,) -> (b, moments)."""
    each = t[:, None].repeat(1, 1 + (frames - 1) // 2)
    each[:, :MOMENTS] = 0
    return each


def loss(network: nn.Module, shown: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """As the video model is trained, the first moments clean: the error of all that is not given."""
    clean, asked = shown
    t = clips.draw_t(len(clean), generator)
    x_t = diffusion.mix(clips.PATH, clean, torch.randn(clean.shape, generator=generator), t)
    x_t = torch.cat([clean[:, :, :GIVEN], x_t[:, :, GIVEN:]], 2)
    seen = network(x_t, levels(t, clean.shape[2]), asked)
    return (seen - clean)[:, :, GIVEN:].float().square().mean()


def taught(seed: int, follow: Follow, steps: int = PLAN.steps) -> nn.Module:
    """The shipped video model, taught for some minutes more to go on from given frames."""
    plan = replace(PLAN, seed=seed, steps=steps)
    network = recipes.load("clips")
    what = f"speeds, teaching, seed {seed}"
    return followed(network, loss, lambda g: clips.batch(plan, g), plan, follow, what)


@torch.no_grad()
def complete(network: nn.Module, scenes: list[scene.Scene], seed: int, told: bool = True) -> Tensor:
    """Clips that begin as the scenes do and go on as the network sees fit: (b, 3, 17, 32, 32).

    told: whether the network is told that the given frames are clean; else they are replaced.
    """
    real = render.video(scenes)
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(seed))
    asked = clips.understand([captions.write(one.describe()) for one in scenes])
    if told:
        field = continued(network.eval(), asked)
        start = torch.cat([real[:, :, :GIVEN], noise[:, :, GIVEN:]], 2)
    else:
        field = replaced(clips.field(network, asked), real[:, :, :GIVEN], noise[:, :, :GIVEN])
        start = noise
    times = diffusion.schedule(8, clips.SHIFT)
    *_, last = diffusion.sample(field, start, times, clips.PATH, diffusion.heun)
    return last.x_t.clamp(-1, 1)


def speed_after(video: Tensor, viewer: judge.Judge) -> Tensor:
    """How fast the digit flies once the given frames are over: (b, 3, f, h, w) -> (b,)."""
    places, seconds = clips.flights(viewer.read(video))
    return metrics.nearest_flight(places[:, GIVEN:], seconds[GIVEN:]).velocity.norm(dim=-1)


def run(seed: int, follow: Follow, n: int = 24) -> dict:
    """{speed: {"replaced", "continued", "real"}}: how fast it flies afterwards, each way, and how far off."""
    viewer, table = referee(), {}
    shipped, network = recipes.load("clips"), taught(seed, follow)
    for speed in follow(SPEEDS, len(SPEEDS), f"speeds, seed {seed}"):
        scenes = draw_scenes(n, seed, speed)
        videos = {
            "replaced": complete(shipped, scenes, seed, told=False),
            "continued": complete(network, scenes, seed),
            "real": render.video(scenes),
        }
        after = {way: speed_after(video, viewer) for way, video in videos.items()}
        rows = after | {f"{way}, error": (fast - speed).abs() for way, fast in after.items()}
        table[f"{speed}"] = means(rows)
        if seed == SEEDS[0]:
            for way, video in videos.items():
                keep("speeds", f"{speed}, {way}", video[:2])
    return table
