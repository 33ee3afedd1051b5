"""Why frames must be denoised together: the same network on lone frames and on clips.

Both ways train one and the same architecture with nothing asked for; what differs is what they are
shown, each frame as a clip of its own or the clip whole. The parameters are equal to the last one, and
so is the work of a training step.
"""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from minivid import diffusion, judge, metrics, train
from minivid.experiments.keeping import Follow, keep, means
from minivid.recipes import clips
from minivid.recipes.judging import referee
from minivid.unet import VideoUNet
from minivid.world import render, scene

WHAT = "frames denoised one by one, with shared noise, and together"
SEEDS = (0, 1, 2)
FRAMES = 9
PATH = diffusion.RectifiedFlow()
KEPT = 6  # clips of each way that are kept to be looked at
SHARED = (0.0, 0.5, 0.9, 1.0)  # share of the noise's variance that all frames have in common
PLAN = train.Plan(steps=1200, batch=32, learning_rate=2e-3, precision="bf16")


def build() -> nn.Module:
    """The network of both ways. It is asked nothing: its condition is one number, always 0."""
    return VideoUNet(asked=1, width=48, blocks=1)


def batch(plan: train.Plan, generator: torch.Generator, together: bool) -> tuple[Tensor]:
    """Clips (b, 3, 9, 32, 32), or five of their frames as clips of one frame (b·5, 3, 1, 32, 32).

    To the network a clip of nine frames is five moments, and a frame is one: the work is the same.
    """
    video = render.video(scene.draw_scenes(plan.batch, generator), FRAMES)
    return (video if together else rearrange(video[:, :, ::2], "b c f h w -> (b f) c 1 h w"),)


def field(network: nn.Module) -> diffusion.Field:
    """The velocity field that leads to whatever the network was trained on."""
    return diffusion.field(_unasked(network), PATH, "clean")


def loss(network: nn.Module, shown: tuple[Tensor], generator: torch.Generator) -> Tensor:
    """As the video model of `recipes.clips` is trained, with nothing asked for."""
    return diffusion.loss(_unasked(network), *shown, generator, PATH, "clean", draw_t=clips.draw_t)


def _unasked(network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x_t, t: network(x_t, t, x_t.new_zeros(len(x_t), 1))


def noise(n: int, seed: int, shared: float = 0.0) -> Tensor:
    """Noise of which a share of the variance is common to all frames: (n, 3, 9, 32, 32).

    Each frame's noise is standard normal whatever the share ("mixed noise", Ge et al. 2023, arXiv
    2305.10474, which trains with it; here it only starts the sampling).
    """
    generator = torch.Generator().manual_seed(seed)
    own = torch.randn(n, 3, FRAMES, 32, 32, generator=generator)
    common = torch.randn(n, 3, 1, 32, 32, generator=generator)
    return shared**0.5 * common + (1 - shared) ** 0.5 * own


@torch.no_grad()
def draw(network: nn.Module, start: Tensor, together: bool, steps: int = 12) -> Tensor:
    """Clips from noise (n, 3, 9, 32, 32); where not together, each frame by itself."""
    x = start if together else rearrange(start, "b c f h w -> (b f) c 1 h w")
    times = diffusion.schedule(steps, clips.SHIFT)
    parts = []
    for part in x.split(100 if together else 900):
        *_, last = diffusion.sample(field(network.eval()), part, times, PATH, diffusion.heun)
        parts.append(last.x_t.clamp(-1, 1))
    done = torch.cat(parts)
    return done if together else rearrange(done, "(b f) c 1 h w -> b c f h w", f=FRAMES)


@torch.no_grad()
def guesses(network: nn.Module, start: Tensor, together: bool, steps: int = 12) -> Tensor:
    """The clean clip seen at each step on the way from the noise of one clip: (steps, 3, 9, 32, 32)."""
    x = start if together else rearrange(start, "1 c f h w -> f c 1 h w")
    times = diffusion.schedule(steps, clips.SHIFT)
    walk = diffusion.sample(field(network.eval()), x, times, PATH, diffusion.heun)
    seen = torch.stack([step.clean for step in walk])
    return seen[:, 0] if together else rearrange(seen, "s f c 1 h w -> s c f h w")


def measure(video: Tensor, viewer: judge.Judge) -> dict[str, Tensor]:
    """What befalls a digit from frame to frame: (n,) each. Every frame is read by itself."""
    seen = viewer.read(rearrange(video, "b c f h w -> (b f) c 1 h w"))
    first = [one.description.subjects[0] for one in seen]
    digit = torch.tensor([one.digits[0, 0] for one in seen]).view(-1, FRAMES)
    colour = [list(scene.COLOURS).index(subject.colour) for subject in first]
    places = torch.stack([one.places[0, 0] for one in seen]).view(-1, FRAMES, 2)
    apart = metrics.physics(places, scene.frame_times(FRAMES)).off_course
    step = places.diff(dim=1).norm(dim=-1).mean(1)
    same = metrics.identity(digit)
    lawful = (same == 1) & (apart < 0.02) & (step > 0.02)
    return {
        "identity": same,
        "one_digit": (same == 1).float(),
        "one_colour": (metrics.identity(torch.tensor(colour).view(-1, FRAMES)) == 1).float(),
        "flicker": metrics.flicker(video),
        "jerkiness": metrics.jerkiness(places),
        "off_course": apart,
        "moves": step,
        "passes": lawful.float(),
    }


def run(seed: int, follow: Follow, n: int = 200) -> dict:
    """Train both ways and measure them, and real clips: {way: {metric: [value, low, high]}}."""
    viewer = referee()
    real = render.video(scene.draw_scenes(n, seed), FRAMES)
    table = {"real": means(measure(real, viewer))}
    for together in (False, True):
        network = trained(seed, together, follow)
        for share in (0.0,) if together else SHARED:
            video = draw(network, noise(n, seed, share), together)
            way = "together" if together else f"{share:.0%} shared" if share else "one by one"
            table[way] = means(measure(video, viewer))
            if seed == SEEDS[0]:
                keep("frames", way, video[:KEPT])
                if share == 0:
                    keep("frames", f"{way}, on the way", guesses(network, noise(1, 3), together))
    return table


def trained(seed: int, together: bool, follow: Follow) -> nn.Module:
    """One network, trained from nothing."""
    plan = train.Plan(**{**vars(PLAN), "seed": seed})
    torch.manual_seed(seed)
    steps = train.train(build(), loss, lambda g: batch(plan, g, together), plan)
    what = f"{'together' if together else 'one by one'}, seed {seed}"
    return list(follow(steps, plan.steps, what))[-1].network
