"""Sound and picture: apart, one after the other, or together; in equal steps.

Apart, the two never attend to one another: what they share is the prompt. One after the other, a picture is
generated first, and sound is made for it. Together, each attends to the other while both are half noise, the
picture a little ahead; the same network is also sampled with both at equal noise, all the way. Two more learn
together under a handicap: in one the time of a token of sound is its number instead of its second, in the
other sound shares the picture's feed-forwards, and so has fewer parameters. (JavisDiT++, arXiv 2602.19163,
tables 2 and 3, found sync better with a shared clock, and better with feed-forwards apart than where sound
and picture shared the whole network.)
All begin with the weights of `video`, and have yet to learn sound; all predict what is heard, halfway, even
of a sound that they never attend to. "Same words" is the real sound of another scene with the same prompt:
what two perfect models would get that share nothing but the prompt.
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from minivid import training
from minivid.experiments.records import Bar, train_network, without_bounds
from minivid.experiments.together_variants import VARIANTS, After
from minivid.measure import sync
from minivid.measure.adherence import easy_rows, read_clips
from minivid.measure.judge import load_judge
from minivid.measure.listener import listen
from minivid.pipeline import Clip, Pipeline, joint_config
from minivid.recipes import cache, formats, joint, joint_data, joint_score, latents
from minivid.training import TrainConfig
from minivid.world import captions, held_out, random_scenes, render, scene, sound

WHAT = "sound and picture made apart, one after the other, and together: sync at equal compute"
SEEDS = (0, 1, 2)
WORLD = replace(random_scenes.EASY, hums=0.5)
FRAMES, DATASET_SIZE = 17, 6000
CONFIG = TrainConfig(600, 32, learning_rate=1e-3, muon_lr=0.02, compile=True)
EQUAL = "together, at equal noise"  # the same network as "together", sampled in another way


@functools.cache
def training_set(n: int) -> tuple[Tensor, Tensor, Tensor, list[scene.Scene]]:
    """Latents of video and of audio, event rolls (n, s, 20), and the scenes."""
    scenes = held_out.draw_scenes(n, training.step_seed(7, 0), world=WORLD)
    make_audio = functools.partial(sound.audio, frames=FRAMES)
    return (
        cache.latents(f"together-video-{n}", cache.video_codec(), scenes, render.video),
        cache.latents(f"together-audio-{n}", cache.audio_codec(), scenes, make_audio),
        sound.event_roll(scenes, FRAMES),
        scenes,
    )


def draw_batch(config: TrainConfig, rng: torch.Generator, n: int | None = None) -> tuple[Tensor, ...]:
    """Latents of video (b, 8, 5, 8, 8) and of audio (b, 16, 68), events, and tokens (b, m).

    Events: (b, 68, EVENT_DIM), until alignment stops. n: how many clips are trained on, else DATASET_SIZE.
    """
    *kinds, scenes = training_set(n or DATASET_SIZE)
    batch = latents.pick(kinds, scenes, config.batch_size, rng, formats.tokenize)
    return joint_data.with_events(batch, training.step_of_rng(rng, config.seed), config)


def train(name: str, seed: int, bar: Bar, config: TrainConfig = CONFIG) -> Pipeline:
    """A variant, trained and ready to generate."""
    variant, config = VARIANTS[name], replace(config, seed=seed)
    torch.manual_seed(seed)
    network = joint.init_from_video(variant.build(joint_config())).to(training.device())
    loss = functools.partial(joint.loss, noise_levels=variant.noise_levels)
    draw = functools.partial(draw_batch, config)
    return joint_score.ready(train_network(network, loss, draw, config, bar, f"{name}, seed {seed}"))


def generate(ready: Pipeline, prompts: list[str], seed: int) -> Clip:
    """Clips with sound; where sound is made for a picture, the picture is generated first."""
    clip = ready.generate(prompts, seed)
    if isinstance(ready.network, After):
        condition = ready.video_to_audio(clip.video)
        return Clip(clip.video, ready.generate(prompts, seed, condition=condition).audio)
    return clip


def _generate_some(ready: Pipeline, prompts: list[str], some: slice, seed: int) -> Clip:
    return generate(ready, prompts[some], seed)


def run(seed: int, bar: Bar, n: int = 200) -> dict:
    """{variant, EQUAL, "real", "same words": `sync_rows`, and "all", as asked: [value, low, high]}."""
    scenes = held_out.draw_scenes(n, seed, world=WORLD)
    asked = [one.describe() for one in scenes]
    prompts = [captions.write(one) for one in asked]
    real = Clip(render.video(scenes), sound.audio(scenes))
    others = random_scenes.draw_scenes(n, seed + 1, WORLD, descriptions=asked)
    found = {"real": _rows(real, asked), "same words": _rows(Clip(real.video, sound.audio(others)), asked)}
    for name in VARIANTS:
        pipelines = {name: train(name, seed, bar)}
        if name == "together":
            pipelines[EQUAL] = replace(pipelines[name], audio_shift=1.0)
        for what, ready in pipelines.items():
            generate_some = functools.partial(_generate_some, ready, prompts)
            found[what] = _rows(joint_score.in_parts(generate_some, n, seed), asked)
    return found


def _rows(clip: Clip, asked: list[scene.Description]) -> dict:
    observed = read_clips(load_judge(), clip.video)
    rows = sync.sync_rows(sync.visible_events(observed), listen(clip.audio), FRAMES)
    rows["all"] = easy_rows(asked, observed, observed)["all"]
    keys = ("onset_f1", "onset_f1_50ms", "note_f1")
    return without_bounds(rows) | {"floor": {key: rows[key]["floor"] for key in keys}}
