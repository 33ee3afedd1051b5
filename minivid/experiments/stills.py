"""Stills: prompts that say what can be seen in one, and transformers that are trained on them."""

import torch
from torch import Tensor

from minivid.experiments import small_task
from minivid.experiments.records import Bar, train_network
from minivid.models.text_to_video import TextToVideo
from minivid.pipeline import Pipeline
from minivid.recipes import cache, formats, video
from minivid.recipes.captioning import drop_captions
from minivid.training import TrainConfig
from minivid.world import captions, scene

TrainingSet = tuple[Tensor, Tensor, list[str]]  # latents, alignment targets, prompts


def describe_still(one: scene.Scene) -> scene.Description:
    """What can be seen of a scene in a still: digits and their colours."""
    return scene.Description(tuple(scene.Subject(body.digit, body.colour) for body in one.bodies))


def write_prompt(one: scene.Scene, rng: torch.Generator | None = None) -> str:
    """A prompt for a still; rng: what the wording is drawn from, else the plainest."""
    return captions.write(describe_still(one), rng)


def encode(name: str, scenes: list[scene.Scene], render: cache.Render, prompts: list[str]) -> TrainingSet:
    """The training set of what `render` makes of the scenes, and of prompts for them."""
    encoders = cache.video_codec(), cache.alignment_target()
    encoded, targets = (cache.encode(name, encoder, scenes, render) for encoder in encoders)
    return encoded, targets, prompts


def train(
    sets: list[TrainingSet], network: TextToVideo, config: TrainConfig, bar: Bar, what: str
) -> Pipeline:
    """The network, trained with representation alignment, ready to generate; each batch is of one set."""

    def draw_batch(rng: torch.Generator) -> tuple[Tensor, ...]:
        encoded, targets, prompts = sets[int(torch.randint(len(sets), (), generator=rng))]
        which = torch.randint(len(encoded), (config.batch_size,), generator=rng)
        sentences = drop_captions([prompts[k] for k in which], rng)
        return encoded[which], targets[which], formats.tokenize(sentences)

    trained = train_network(network, video.loss, draw_batch, config, bar, what)
    return Pipeline(trained, cache.video_codec(), **small_task.SAMPLING)
