"""Does a video model know the law, or the cases it saw? Clips continued at speeds never shown.

After PhyWorld (Kang et al. 2024, arXiv 2411.02385). The shipped video model was trained on digits that fly at
0.3 to 0.6 room sides a second. It is given the first five frames of a real clip and completes the rest; how
fast does its digit fly on? Two ways to give them: put them where they have to be at each noise level
("replacement"), or train some minutes more with clean first frames ("conditioned", see `minivid.condition`).
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import diffusion, recipes
from minivid.condition import first_frames
from minivid.experiments.records import Bar, means, save_clips, train_network
from minivid.measure import motion
from minivid.measure.adherence import first_flights
from minivid.measure.judge import Judge, load_judge
from minivid.recipes import clips
from minivid.training import TrainConfig
from minivid.world import captions, random_scenes, render, scene

WHAT = "the first five frames of a clip continued, at speeds seen in training and not"
SEEDS = (0, 1, 2)
SPEEDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
GIVEN = 5  # frames
CONFIG = TrainConfig(steps=300, batch_size=32, learning_rate=1e-3, cooldown=0.6, precision="bf16")


def draw_scenes(n: int, seed: int, speed: float) -> list[scene.Scene]:
    """Digits that set out from a wall, straight across the room, at one speed."""
    scenes = []
    for one in random_scenes.draw_scenes(n, seed):
        body = replace(one.bodies[0], speed=speed, angle=0.0)
        reach = ((1 - body.width) / 2, (1 - body.height) / 2)
        axes = zip(body.start, body.velocity, reach, strict=True)
        start = [at if abs(v) < 1e-9 else -v / abs(v) * wall for at, v, wall in axes]
        scenes.append(replace(one, bodies=(replace(body, start=tuple(start)),)))
    return scenes


def replacement(field: diffusion.Field, given: Tensor, noise: Tensor) -> diffusion.Field:
    """A field that leads the first frames to what is given: given, noise (b, c, k, h, w).

    On the straight path from their noise their velocity is known; to the network they are as noisy as all
    other frames. "Replacement", as in RePaint (Lugmayr et al. 2022, arXiv 2201.09865).
    """

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        free = field(x_t, t)[:, :, given.shape[2] :]
        return torch.cat([noise - given, free], 2)

    return velocity


def loss(network: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """As the video model is trained, the first frames clean: the error of all that is not given."""
    clean, pooled_text = batch
    t = clips.NOISE_LEVELS.draw(len(clean), rng)
    levels = first_frames(clean, GIVEN).levels(clean, t)
    noise = torch.randn(clean.shape, generator=rng)
    x_t = diffusion.add_noise(clips.PATH, clean, noise, levels)
    error = network(x_t, levels, pooled_text) - clean
    return error[:, :, GIVEN:].float().square().mean()


def train(seed: int, bar: Bar, steps: int = CONFIG.steps) -> nn.Module:
    """The shipped video model, trained some minutes more to continue given frames."""
    config, what = replace(CONFIG, seed=seed, steps=steps), f"speeds, training, seed {seed}"

    def draw_batch(rng: torch.Generator) -> tuple[Tensor, ...]:
        return clips.draw_batch(config, rng)

    return train_network(recipes.load("clips"), loss, draw_batch, config, bar, what)


def complete(network: nn.Module, scenes: list[scene.Scene], seed: int, conditioned: bool = True) -> Tensor:
    """Clips that begin as the scenes do and go on as the network has it: (b, 3, 17, 32, 32).

    conditioned: whether the network learns that the given frames are clean; else they are replaced.
    """
    ready, real = clips.ready(network), render.video(scenes)
    prompts = [captions.write(one.describe()) for one in scenes]
    noise = clips.batch_noise(ready, len(scenes), seed)
    if conditioned:
        condition = first_frames(real, GIVEN)
        return ready.generate(prompts, guidance=1.0, noise=noise, condition=condition).video
    field = replacement(ready.field(prompts, 1.0), real[:, :, :GIVEN], noise[:, :, :GIVEN])
    trajectory = diffusion.sample(field, noise, ready.timesteps(), ready.path, ready.solver)
    return ready.decode(diffusion.last_step(trajectory).x_t).video


def speed_after(video: Tensor, judge: Judge) -> Tensor:
    """How fast the digit flies once the given frames are over: (b, 3, f, h, w) -> (b,)."""
    positions, seconds, clear, reach = first_flights(judge.read(video))
    flight = motion.nearest_flight(positions[:, GIVEN:], seconds[GIVEN:], clear[:, GIVEN:], reach)
    return flight.velocity.norm(dim=-1)


def run(seed: int, bar: Bar, n: int = 24) -> dict:
    """{speed: {"replacement", "conditioned", "real"}}: the speed after, each way, and its error."""
    judge, table = load_judge(), {}
    shipped, network = recipes.load("clips"), train(seed, bar)
    for speed in bar(SPEEDS, len(SPEEDS), f"speeds, seed {seed}"):
        scenes = draw_scenes(n, seed, speed)
        videos = {
            "replacement": complete(shipped, scenes, seed, conditioned=False),
            "conditioned": complete(network, scenes, seed),
            "real": render.video(scenes),
        }
        after = {way: speed_after(video, judge) for way, video in videos.items()}
        rows = after | {f"{way}, error": (fast - speed).abs() for way, fast in after.items()}
        table[f"{speed}"] = means(rows)
        if seed == SEEDS[0]:
            for way, video in videos.items():
                save_clips("speeds", f"{speed}, {way}", video[:2])
    return table
