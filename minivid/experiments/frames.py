"""Why frames must be denoised together: one and the same model, taught lone frames or clips.

Both ways begin as the shipped video model, so they know digits and are equal to the last parameter; then
each is taught the same number of steps more, of the same work: one on frames, each a clip of its
own, the other on clips of nine. Half of what they are taught comes without a sentence.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from minivid import diffusion, judge, metrics, recipes, train
from minivid.experiments.keeping import Follow, followed, keep, means
from minivid.recipes import clips
from minivid.recipes.judging import referee
from minivid.world import captions, render, scene

WHAT = "frames denoised one by one, with shared noise, and together"
SEEDS = (0, 1, 2)
FRAMES = 9
UNSAID = 0.5  # share of training captions that are empty
KEPT = 6  # clips of each way that are kept to be looked at
SHARED = (0.0, 0.5, 0.9, 1.0)  # share of the noise's variance that all frames have in common
TOLD = (0.0, 0.9)  # those of them that are also drawn with a sentence
PLAN = train.Plan(steps=200, batch=32, learning_rate=1e-3, decay=0.6, precision="bf16")


def batch(plan: train.Plan, generator: torch.Generator, together: bool) -> tuple[Tensor, ...]:
    """Clips (b, 3, 9, 32, 32), or five of their frames as clips of one frame (b·5, 3, 1, 32, 32).

    To the network a clip of nine frames is five moments, and a frame is one: the work is the same. With
    them come their captions as vectors, (b, d) or (b·5, d).
    """
    scenes = scene.draw_scenes(plan.batch, generator)
    unsaid = (torch.rand(plan.batch, generator=generator) < UNSAID).tolist()
    asked = clips.understand(
        [
            "" if empty else captions.write(one.describe(), generator)
            for one, empty in zip(scenes, unsaid, strict=True)
        ]
    )
    video = render.video(scenes, FRAMES)
    if together:
        return video, asked
    lone = video[:, :, ::2]
    told = repeat(asked, "b d -> (b f) d", f=lone.shape[2])
    return rearrange(lone, "b c f h w -> (b f) c 1 h w"), told


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
def draw(network: nn.Module, start: Tensor, together: bool, asked: Tensor | None = None) -> Tensor:
    """Clips from noise (n, 3, 9, 32, 32); where not together, each frame by itself.

    asked: a sentence's vector for each clip (n, d), told to each of its frames; None asks for nothing.
    """
    parts = []
    for k in range(0, len(start), 100):
        told = None if asked is None else asked[k : k + 100]
        *_, last = walk(network, start[k : k + 100], together, told)
        parts.append(_joined(last.x_t, together).clamp(-1, 1))
    return torch.cat(parts)


@torch.no_grad()
def guesses(
    network: nn.Module, start: Tensor, together: bool, asked: Tensor | None = None
) -> Tensor:
    """The clean clip seen at each step on the way from the noise of one clip: (steps, 3, 9, 32, 32)."""
    steps = walk(network, start, together, asked)
    return torch.cat([_joined(step.clean, together) for step in steps])


def walk(
    network: nn.Module, start: Tensor, together: bool, asked: Tensor | None, steps: int = 12
) -> Iterator[diffusion.Step]:
    """The sampler's steps, on clips or on lone frames."""
    scale = 1.0 if asked is None else clips.GUIDANCE
    if asked is None:
        asked = torch.zeros(len(start), network.label.in_features)
    if not together:
        start = rearrange(start, "b c f h w -> (b f) c 1 h w")
        asked = repeat(asked, "b d -> (b f) d", f=FRAMES)
    field = clips.field(network.eval(), asked, scale)
    times = diffusion.schedule(steps, clips.SHIFT)
    return diffusion.sample(field, start, times, clips.PATH, diffusion.heun)


def _joined(x: Tensor, together: bool) -> Tensor:
    return x if together else rearrange(x, "(b f) c 1 h w -> b c f h w", f=FRAMES)


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


def run(seed: int, follow: Follow, n: int = 100) -> dict:
    """Teach both ways and measure them, and real clips: {way: {metric: [value, low, high]}}.

    Ways: asked for nothing, "one by one", so with noise "50% shared" and so on, and "together"; and some
    of them "told" the sentence of a real clip.
    """
    viewer = referee()
    scenes = scene.draw_scenes(n, seed)
    asked = clips.understand([captions.write(one.describe()) for one in scenes])
    videos = {"real": render.video(scenes, FRAMES)}
    for together in (False, True):
        network, name = trained(seed, together, follow), "together" if together else "one by one"
        for share in (0.0,) if together else SHARED:
            way = f"{share:.0%} shared" if share else name
            start = noise(n, seed, share)
            videos[way] = draw(network, start, together)
            if share in TOLD:
                videos[f"told, {way}"] = draw(network, start, together, asked)
        if seed == SEEDS[0]:
            keep("frames", f"{name}, on the way", guesses(network, noise(1, 3), together))
    if seed == SEEDS[0]:
        for way, video in videos.items():
            keep("frames", way, video[:KEPT])
    return {way: means(measure(video, viewer)) for way, video in videos.items()}


def trained(seed: int, together: bool, follow: Follow) -> nn.Module:
    """The shipped video model, taught one of the two ways."""
    plan = replace(PLAN, seed=seed)
    network = recipes.load("clips")
    what = f"{'together' if together else 'one by one'}, seed {seed}"
    return followed(network, clips.loss, lambda g: batch(plan, g, together), plan, follow, what)
