"""Text to video with sound: one transformer denoises both, and makes either for the other.

It begins as the transformer of `video`; audio begins with copies of video's layers. Halfway through the
blocks each token also predicts what is heard while it lasts (representation alignment, with the world as the
teacher): that is what the one must know of the other.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import diffusion, pipeline, weights
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.models.alignment import event_loss, events_per_token
from minivid.models.text_to_video import TextToAudioVideo, TextToVideo
from minivid.recipes import formats, latents, video
from minivid.recipes.joint_data import AVNoiseLevels, training_set, with_events
from minivid.recipes.joint_score import score
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig, step_of_rng

# What is trained on: formats, clips of each that are kept, and the share of steps that take them.
FORMATS = {
    Format(17, 32, 32): (30_000, 0.7),
    Format(17, 32, 48): (6_000, 0.15),
    Format(17, 48, 32): (6_000, 0.15),
}
LARGE_BATCH = 128  # for twice as large a batch, twice as many clips are kept
NOISE_LEVELS = AVNoiseLevels(video.NOISE_LEVELS)
EVENT_WEIGHT = 1.0  # what the events' mean error counts beside the sum of both velocities'


def draw_batch(
    config: TrainConfig, rng: torch.Generator, size: int = DEFAULT_FORMAT.width
) -> tuple[Tensor, ...]:
    """Latents of video (b, c, f, h, w) and audio (b, 16, s) of one format, events, and tokens (b, n).

    Events: (b, s, EVENT_DIM), until alignment stops. size: what is 32 pixels in FORMATS.
    """
    shape = formats.draw_format(FORMATS, rng)
    *kinds, scenes = training_set(dataset_size(config, shape), shape, size)
    many = formats.batch_size(config, kinds[0])
    batch = latents.pick(kinds, scenes, many, rng, formats.tokenize)
    return with_events(batch, step_of_rng(rng, config.seed), config)


def dataset_size(config: TrainConfig, shape: Format) -> int:
    """How many clips of a format are kept to train on: more for larger batches, see LARGE_BATCH."""
    return FORMATS[shape][0] * max(1, config.batch_size // LARGE_BATCH)


def loss(
    network: nn.Module,
    batch: tuple[Tensor, ...],
    rng: torch.Generator,
    noise_levels: AVNoiseLevels = NOISE_LEVELS,
) -> Tensor:
    """The velocities of video and audio, each where it is not given, and the events; all count the same.

    Where one of the two is all noise, its velocity cannot be known but on average, and does not count
    either. Events count at every noise level.
    """
    *clean, tokens = batch[:2] + batch[-1:]
    t = [level.to(tokens.device) for level in noise_levels.draw(len(tokens), rng)]
    noise = [torch.randn(x.shape, generator=rng).to(x.device) for x in clean]
    pairs = zip(clean, noise, t, strict=True)
    x_t = [diffusion.add_noise(pipeline.PATH, x, e, level) for x, e, level in pairs]
    output = network(tuple(x_t), tuple(t), tokens, return_alignment=len(batch) == 4)
    velocity, events = output if len(batch) == 4 else (output, ())
    total = sum(
        _velocity_loss(v.float(), e - x, level)
        for v, x, e, level in zip(velocity, clean, noise, t, strict=True)
    )
    losses = [event_loss(one, events_per_token(batch[2], *one.shape[1:3])) for one in events]
    return total + EVENT_WEIGHT * sum(losses) / 2


def _velocity_loss(output: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of what is neither given nor all noise."""
    error = (output - velocity).square().flatten(1).mean(1)
    return (error * ((t > 0) & (t < 1))).mean()


NEW_LAYERS = ("dit.audio_stem", "dit.audio_out", "dit.absolute_time", "event_heads")


def build(size: int = DEFAULT_FORMAT.width) -> TextToAudioVideo:
    """The network, knowing what `video` of that size knows."""
    return init_from_video(TextToAudioVideo(pipeline.joint_config(size)), size)


def init_from_video(network: TextToAudioVideo, size: int = DEFAULT_FORMAT.width) -> TextToAudioVideo:
    """The network with the weights of `video` of that size; audio begins with copies of video's layers."""
    video_network = TextToVideo(pipeline.video_config(size))
    state = weights.load(pipeline.sized_name("video", size), video_network).state_dict()
    for name in network.state_dict():
        if "audio_" in name and not name.startswith(("dit.audio_stem", "dit.audio_out")):
            state[name] = state[name.replace("audio_", "")]
    weights.shorten_vocabulary(network, state)
    missing = network.load_state_dict(state, strict=False).missing_keys
    if lost := [name for name in missing if not name.startswith(NEW_LAYERS)]:
        raise ValueError(f"`video` has no weights for {', '.join(lost)}.")
    network.text.requires_grad_(False)
    return network


LAPTOP = replace(video.LAPTOP, steps=7000, batch_size=48, cooldown=0.6)

RECIPE = Recipe(
    what="a diffusion transformer that turns noise into clips with their sound, or makes one for the other",
    build=build,
    draw_batch=draw_batch,
    loss=loss,
    configs={"laptop": LAPTOP, "gpu": replace(video.GPU, steps=6950, cooldown=0.5)},
    score=score,
    int8=True,
    needs=("judge", "words", "features", "video", "audio_codec"),
)
