"""Why frames must be denoised together: one and the same model, trained on lone frames or on clips.

Both begin as the shipped video model, so they know digits and are equal to the last parameter; then each is
trained for the same number of steps more, of the same work: one on frames, each a clip of its own, the other
on clips of nine. Half of what they are trained on comes without a caption.
"""

from dataclasses import replace

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from minivid import recipes
from minivid.experiments.frames_sampling import FRAMES, generate, noise, predictions
from minivid.experiments.records import Bar, means, save_clips, train_network
from minivid.formats import frame_times
from minivid.measure import motion
from minivid.measure.judge import Judge, load_judge
from minivid.recipes import clips
from minivid.recipes.words import encode_prompts
from minivid.training import TrainConfig
from minivid.world import captions, random_scenes, render, scene

WHAT = "frames denoised one by one, with shared noise, and together"
SEEDS = (0, 1, 2)
CAPTION_DROPOUT = 0.5  # share of training captions that are empty
SAVED = 6  # clips of each way
SHARED = (0.0, 0.5, 0.9, 1.0)  # share of the noise's variance that all frames have in common
PROMPTED = (0.0, 0.9)  # those of them that are also generated with a prompt
CONFIG = TrainConfig(steps=200, batch_size=32, learning_rate=1e-3, cooldown=0.6, precision="bf16")


def draw_batch(config: TrainConfig, rng: torch.Generator, together: bool) -> tuple[Tensor, ...]:
    """Clips (b, 3, 9, 32, 32), or five of their frames as clips of one frame (b·5, 3, 1, 32, 32).

    To the network a clip of nine frames is five temporal patches, and a frame is one: the work is the same.
    With them come their captions, encoded, (b, d) or (b·5, d).
    """
    scenes = random_scenes.draw_scenes(config.batch_size, rng)
    dropped = (torch.rand(config.batch_size, generator=rng) < CAPTION_DROPOUT).tolist()
    pooled_text = encode_prompts(
        [
            "" if drop else captions.write(one.describe(), rng)
            for one, drop in zip(scenes, dropped, strict=True)
        ]
    )
    video = render.video(scenes, FRAMES)
    if together:
        return video, pooled_text
    lone = video[:, :, ::2]
    each = repeat(pooled_text, "b d -> (b f) d", f=lone.shape[2])
    return rearrange(lone, "b c f h w -> (b f) c 1 h w"), each


def measure(video: Tensor, judge: Judge) -> dict[str, Tensor]:
    """What becomes of a digit from frame to frame: (n,) each. Every frame is read by itself."""
    observed = judge.read(rearrange(video, "b c f h w -> (b f) c 1 h w"))
    first = [one.description.subjects[0] for one in observed]
    digit = torch.tensor([one.digits[0, 0] for one in observed]).view(-1, FRAMES)
    names = list(scene.COLOURS)
    colour = torch.tensor([names.index(subject.colour) for subject in first]).view(-1, FRAMES)
    positions = torch.stack([one.positions[0, 0] for one in observed]).view(-1, FRAMES, 2)
    error = motion.physics(positions, frame_times(FRAMES)).trajectory_error
    step = positions.diff(dim=1).norm(dim=-1).mean(1)
    same = motion.frame_agreement(digit)
    return {
        "frame_agreement": same,
        "identity": (same == 1).float(),
        "one_colour": (motion.frame_agreement(colour) == 1).float(),
        "flicker": motion.flicker(video),
        "jerkiness": motion.jerkiness(positions),
        "trajectory_error": error,
        "moves": step,
        "passes": ((same == 1) & (error < 0.02) & (step > 0.02)).float(),
    }


def run(seed: int, bar: Bar, n: int = 100) -> dict:
    """Train both, measure their clips, and real ones: {way: {metric: [value, low, high]}}.

    Ways: without a prompt, "one by one", so with noise "50% shared" and so on, and "together"; and some of
    them "prompted" by the caption of a real clip.
    """
    judge, scenes = load_judge(), random_scenes.draw_scenes(n, seed)
    pooled_text = encode_prompts([captions.write(one.describe()) for one in scenes])
    videos = {"real": render.video(scenes, FRAMES)}
    for together in (False, True):
        network, name = train(seed, together, bar), "together" if together else "one by one"
        for shared in (0.0,) if together else SHARED:
            way = f"{shared:.0%} shared" if shared else name
            start = noise(n, seed, shared)
            videos[way] = generate(network, start, together)
            if shared in PROMPTED:
                videos[f"prompted, {way}"] = generate(network, start, together, pooled_text)
        if seed == SEEDS[0]:
            one = predictions(network, noise(1, 3), together)
            save_clips("frames", f"{name}, on the way", one)
    if seed == SEEDS[0]:
        for way, video in videos.items():
            save_clips("frames", way, video[:SAVED])
    return {way: means(measure(video, judge)) for way, video in videos.items()}


def train(seed: int, together: bool, bar: Bar) -> nn.Module:
    """The shipped video model, trained on clips or on lone frames."""
    config = replace(CONFIG, seed=seed)
    what = f"{'together' if together else 'one by one'}, seed {seed}"

    def draw(rng: torch.Generator) -> tuple[Tensor, ...]:
        return draw_batch(config, rng, together)

    return train_network(recipes.load("clips"), clips.loss, draw, config, bar, what)
