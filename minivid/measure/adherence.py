"""Prompt adherence: is what was asked for what a viewer sees?

A model is asked for scenes, by their captions; the judge reads what it generates, and reads the real clips of
the same scenes, which is the ceiling. Whatever generates is a callable, (prompts, seed) -> video, so nothing
here knows a network.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from minivid.formats import DEFAULT_FORMAT, Format, frame_times
from minivid.measure import motion, stats
from minivid.measure import shape as shapes
from minivid.measure.judge import Judge, Observation, load_judge
from minivid.measure.stats import proportion_row, row, with_bar
from minivid.world import captions, held_out, render, scene

SUBJECT_ATTRIBUTES = ("digit", "colour", "heading", "hums")  # what is said of a digit
SCENE_ATTRIBUTES = ("camera", "light", "style", "slow_motion")

Generate = Callable[[Sequence[str], int], Tensor]  # prompts and a seed -> clips (b, 3, f, h, w)
Features = Callable[[Tensor], Tensor]  # clips (b, 3, f, h, w) -> (b, d)


def agreement(asked: scene.Description, observed: scene.Description) -> dict[str, bool]:
    """Which of the attributes asked for are there; what was left unsaid agrees with anything.

    A camera that tracks a digit is right where it tracks that digit.

    Two digits count as right when both are. Which is meant by which, their colours say first; where those do
    not, the digits, the headings, and which of them hum.
    """
    ordered = in_order(asked, observed).subjects
    if len(ordered) < len(asked.subjects):
        asked = in_order(observed, asked)
    pairs = list(zip(asked.subjects, ordered, strict=False))
    counted = len(asked.subjects) == len(observed.subjects)
    right = {key: counted and all(_fits(a, o, key) for a, o in pairs) for key in SUBJECT_ATTRIBUTES}
    right |= {key: _fits(asked, observed, key) for key in SCENE_ATTRIBUTES}
    right["camera"] &= all(_fits(a, o, "followed") for a, o in pairs)
    return right | {"all_attributes": all(right.values())}


def in_order(asked: scene.Description, observed: scene.Description) -> scene.Description:
    """What was observed, its digits in the order of those asked for that they are taken for."""

    def alike(subjects: tuple[scene.Subject, ...]) -> list[int]:
        pairs = list(zip(asked.subjects, subjects, strict=False))
        return [sum(_fits(a, o, key) for a, o in pairs) for key in ("colour", *SUBJECT_ATTRIBUTES)]

    return replace(observed, subjects=max(observed.subjects, observed.subjects[::-1], key=alike))


def _fits(asked, observed, key: str) -> bool:
    return getattr(asked, key) in (None, getattr(observed, key))


def read_clips(judge: Judge, video: Tensor, batch_size: int = 100) -> list[Observation]:
    """What the judge reads in many clips (b, 3, f, h, w)."""
    parts = with_bar(video.split(batch_size), "reading", batch_size)
    return [observation for part in parts for observation in judge.read(part)]


def agreement_rows(
    asked: Sequence[scene.Description], observed: Sequence[Observation], real: Sequence[Observation]
) -> dict:
    """One row an attribute; floor: what is read in the next clip; ceiling: in the real one."""
    read, truth = ([one.description for one in some] for some in (observed, real))
    best = [agreement(a, b) for a, b in zip(asked, truth, strict=True)]
    rows = attribute_rows(asked, read)
    return {k: one | {"ceiling": sum(b[k] for b in best) / len(best)} for k, one in rows.items()}


def attribute_rows(asked: Sequence[scene.Description], read: Sequence[scene.Description]) -> dict:
    """One row an attribute: how often what was read is what was asked for; floor: of the next clip."""
    ours, floor = (
        [agreement(a, b) for a, b in zip(asked, some, strict=True)] for some in (read, [*read[1:], *read[:1]])
    )
    return {key: proportion_row([o[key] for o in ours], [f[key] for f in floor]) for key in ours[0]}


def easy_rows(
    asked: Sequence[scene.Description], observed: Sequence[Observation], real: Sequence[Observation]
) -> dict:
    """The rows of what captions of the easy world say."""
    rows = agreement_rows(asked, observed, real)
    return {key: rows[key] for key in ("digit", "colour", "heading")} | {"all": rows["all_attributes"]}


def ask(
    generate: Generate,
    scenes: Sequence[scene.Scene],
    seed: int,
    shape: Format = DEFAULT_FORMAT,
    batch_size: int = 50,
) -> tuple[Tensor, Tensor]:
    """What is generated when asked for these scenes, and what they look like in that format."""
    prompts = [captions.write(one.describe()) for one in scenes]
    starts = with_bar(range(0, len(scenes), batch_size), "generating", batch_size)
    generated = [generate(prompts[k : k + batch_size], seed + k).cpu() for k in starts]
    return torch.cat(generated), render.in_format(scenes, shape)


def score_easy(
    generate: Generate, n: int, seed: int, features: Features, shape: Format = DEFAULT_FORMAT
) -> dict:
    """Asked for scenes of the easy world, what does the judge read, and how well does it move?

    Scenes of combinations seen in training, and a quarter as many of those held out. Floors: another clip's
    caption, frames of real clips out of order, or, for identity, frames of different clips; ceilings: the
    real clips. features: in which distributions of clips are compared.
    """
    judge, room = load_judge(), render.room_for(shape.height, shape.width)
    scenes = held_out.draw_scenes(n, seed, room=room)
    generated, real = ask(generate, scenes, seed, shape)
    asked, shuffled = [one.describe() for one in scenes], shuffle_frames(real, seed)
    ours, truth = read_clips(judge, generated), read_clips(judge, real)
    table = easy_rows(asked, ours, truth)
    mixed = torch.stack([real.roll(k, 0)[:, :, k] for k in range(real.shape[2])], 2)
    table |= identity_rows(ours, truth, read_clips(judge, mixed))
    table["flicker"] = row(
        stats.bootstrap(motion.flicker(generated)),
        *(motion.flicker(video).mean().item() for video in (shuffled, real)),
    )
    table |= physics_rows(ours, read_clips(judge, shuffled), truth)
    table |= distribution_rows([generated, shuffled, real], seed, features, shape)
    scenes = held_out.draw_scenes(max(1, n // 4), seed + 1, held_out.UNSEEN, room=room)
    generated, real = ask(generate, scenes, seed + 1, shape)
    asked = [one.describe() for one in scenes]
    unseen = easy_rows(asked, read_clips(judge, generated), read_clips(judge, real))
    return table | {"unseen_" + key: found for key, found in unseen.items()}


def identity_rows(
    observed: Sequence[Observation], real: Sequence[Observation], mixed: Sequence[Observation] | None = None
) -> dict:
    """Does a digit stay itself? identity: it is read the same in every frame; shape_drift: how far it is
    from its first shape; hand_variety: how far digits of one kind differ from clip to clip.

    mixed: frames of different clips, the floor of identity. Floors of the others: another clip's first shape,
    and, as all hands alike would give, 0.
    """
    same = [one.identity for one in observed]
    floor = None if mixed is None else [one.identity for one in mixed]
    rows = {"identity": proportion_row(same, floor, sum(o.identity for o in real) / len(real))}
    chance = shapes.shape_drift(observed, shapes.first_shapes(observed).roll(1, 0)).mean().item()
    ours, best = (shapes.shape_drift(read) for read in (observed, real))
    if min(len(ours), len(best)) > 1:
        rows["shape_drift"] = row(stats.bootstrap(ours), chance, best.mean().item())
    ours, theirs = shapes.hand_variety(observed), shapes.hand_variety(real)
    if min(len(ours), len(theirs)) > 1:
        rows["hand_variety"] = row(stats.bootstrap(ours), 0.0, theirs.mean().item())
    return rows


def physics_rows(*observed: Sequence[Observation]) -> dict:
    """Rows of how far flights are from lawful ones: of ours, of the floor, of the ceiling."""
    measured, table = [motion.physics(*first_flights(read)) for read in observed], {}
    for key in motion.Physics._fields:
        ours, floor, ceiling = (x[~x.isnan()] for x in (getattr(one, key) for one in measured))
        if len(ours) > 1:  # a model that has learned little may never hit a wall
            chance = floor.mean().item() if len(floor) else None  # out of order, few meet a wall
            table[key] = row(stats.bootstrap(ours), chance, ceiling.mean().item())
    return table


def distribution_rows(
    videos: Sequence[Tensor], seed: int, features: Features, shape: Format
) -> dict[str, dict]:
    """Distances of ours, the floor and the ceiling to as many other real clips.

    toy_kid: kernel distance; toy_fvd: Fréchet distance, where there are more than twice as many
    clips as features.
    """
    # As everywhere, scenes of combinations that training shows.
    others = features(render.in_format(held_out.draw_scenes(len(videos[0]), seed + 2), shape))
    clouds, rows = [features(video) for video in videos], {}
    for key, distance in (("toy_kid", stats.kernel_distance), ("toy_fvd", stats.frechet)):
        if key == "toy_kid" or len(others) > 2 * others.shape[1]:
            ours = stats.jackknife(distance, clouds[0], others)
            rows[key] = row(ours, *(distance(cloud, others) for cloud in clouds[1:]))
    return rows


def first_flights(observed: Sequence[Observation]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each clip's first digit what `motion.nearest_flight` wants: positions (n, f, 2), the frames' times
    (f,), where it is clear (n, f), and its reach (n, 2).
    """
    positions, clear, reach = (
        torch.stack([getattr(one, key)[0] for one in observed]) for key in ("positions", "clear", "reach")
    )
    return positions, frame_times(positions.shape[1]), clear, reach


def shuffle_frames(video: Tensor, seed: int) -> Tensor:
    """Each clip's frames in an order of its own."""
    rng = torch.Generator().manual_seed(seed)
    order = torch.rand(video.shape[0], video.shape[2], generator=rng)
    return torch.stack([clip[:, row] for clip, row in zip(video, order.argsort(1), strict=True)])
