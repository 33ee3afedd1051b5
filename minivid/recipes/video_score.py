"""How a model of text to video is scored: the easy world, the full one, and every format."""

import functools

from torch import Tensor, nn

from minivid import pipeline
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.measure.adherence import (
    Generate,
    agreement,
    agreement_rows,
    ask,
    identity_rows,
    read_clips,
    score_easy,
)
from minivid.measure.judge import load_judge
from minivid.measure.stats import proportion_row
from minivid.recipes import cache, formats
from minivid.recipes.features import clip_features
from minivid.world import held_out, random_scenes, render, scene


def ready(network: nn.Module, size: int = DEFAULT_FORMAT.width) -> pipeline.Pipeline:
    """The network, ready to generate clips of that size."""
    where = next(network.parameters()).device
    return pipeline.Pipeline(network, cache.video_codec(size).to(where))


def score(network: nn.Module, n: int, seed: int, size: int = DEFAULT_FORMAT.width) -> dict:
    """Asked for scenes of the easy world, of the full one, and of other formats: what does the judge see?

    The rows of `score_easy`; `full_` rows, of everything a caption says, and `unseen_full_` ones, of
    combinations held out; and for each format the share of easy scenes that are as asked.
    """
    made = ready(network, size)

    def generate(prompts, seed: int, shape: Format = made.format) -> Tensor:
        return made.generate(prompts, seed, shape=shape).video

    table = score_easy(generate, n, seed, clip_features, made.format)
    for prefix, subjects, part in (("", held_out.SEEN, 1), ("unseen_", held_out.UNSEEN, 4)):
        rows = score_full(generate, n // part, seed + 3, subjects, made.format)
        table |= {f"{prefix}full_{key}": row for key, row in rows.items()}
    for shape in (one.scaled(size) for one in (*formats.ORDER, *formats.NEVER)):
        in_shape = functools.partial(generate, shape=shape)
        table[f"at_{shape.name}"] = score_format(in_shape, n // 4, seed + 4, shape)
    return table


def score_full(
    generate: Generate,
    n: int,
    seed: int,
    subjects: list[scene.Subject] = held_out.SEEN,
    shape: Format = DEFAULT_FORMAT,
) -> dict:
    """Asked for scenes of the full world: a row for everything a caption says."""
    room = render.room_for(shape.height, shape.width)
    scenes = held_out.draw_scenes(n, seed, subjects, random_scenes.FULL, room)
    generated, real = ask(generate, scenes, seed, shape)
    asked, judge = [one.describe() for one in scenes], load_judge()
    observed, truth = read_clips(judge, generated), read_clips(judge, real)
    return agreement_rows(asked, observed, truth) | identity_rows(observed, truth)


def score_format(generate: Generate, n: int, seed: int, shape: Format) -> dict:
    """Asked for easy scenes in a format: digit, colour, and heading where there is one to see, all right."""
    scenes = held_out.draw_scenes(n, seed, room=render.room_for(shape.height, shape.width))
    generated, real = ask(generate, scenes, seed, shape)
    asked, judge = [one.describe() for one in scenes], load_judge()
    keys = ("digit", "colour") if shape.frames == 1 else ("digit", "colour", "heading")
    ours, ceiling = (
        [
            all(agreement(a, b.description)[key] for key in keys)
            for a, b in zip(asked, read_clips(judge, video), strict=True)
        ]
        for video in (generated, real)
    )
    return proportion_row(ours, None, sum(ceiling) / n)
