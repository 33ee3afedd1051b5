"""How bent must a flight be, and how near the wall a digit, before a hit counts?

Calibrated on real clips, disturbed. The rule, stated before the result was seen: of the thresholds tried,
the one with the highest onset F1 of hits that are seen against those that the simulator knows, averaged
over one and two digits and over five kinds of clips: as they are, through the codec, jittering, with
dropped frames, and hidden in part. First how bent, at the nearness that stood before; then how near, at the
bend that was best. No model's clips were looked at.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from minivid.experiments.records import Bar
from minivid.formats import DEFAULT_FORMAT, frame_times
from minivid.measure import motion, stats, sync
from minivid.measure.adherence import read_clips
from minivid.measure.judge import Observation, load_judge
from minivid.recipes import cache
from minivid.world import random_scenes, render, scene

WHAT = "onset F1 of hits seen in real clips, disturbed, by how bent a flight is and how near the wall"
SEEDS = (0, 1, 2)
N, SEED = 200, 1900  # scenes with one digit, and as many with two
JITTER, DROPPED, HIDDEN = 0.012, 0.15, 4  # room sides; share of frames; frames behind a post
BENDS = (0.0, 0.002, 0.004, 0.008, 0.016)  # room sides, root mean square
BEND, NEAR = 0.0, 0.07  # the best of BENDS, and the nearness that stood before
TOUCHES = (0.03, 0.05, 0.07, 0.1, 0.15, 1.0)  # room sides; the last for anywhere
END = frame_times(DEFAULT_FORMAT.frames)[-1].item() - sync.SHARP  # as in scores


def jitter(observed: list[Observation], seed: int, size: float = JITTER) -> list[Observation]:
    """What is read in clips whose digits tremble: by so much, in room sides."""
    rng = torch.Generator().manual_seed(seed)
    return [
        replace(o, positions=o.positions + size * torch.randn(o.positions.shape, generator=rng))
        for o in observed
    ]


def drop_frames(video: Tensor, seed: int, proportion: float = DROPPED) -> Tensor:
    """Clips in which some frames show the frame before."""
    rng, video = torch.Generator().manual_seed(seed), video.clone()
    for clip in video:
        for frame in range(1, video.shape[2]):
            if torch.rand((), generator=rng) < proportion:
                clip[:, frame] = clip[:, frame - 1]
    return video


def hide(video: Tensor, seed: int, frames: int = HIDDEN) -> Tensor:
    """Clips with a grey post, a third of them wide, that stands before everything for some frames."""
    rng, video, width = torch.Generator().manual_seed(seed), video.clone(), video.shape[-1]
    for clip in video:
        first = int(torch.randint(video.shape[2] - frames, (), generator=rng))
        left = int(torch.randint(width - width // 3, (), generator=rng))
        clip[:, first : first + frames, :, left : left + width // 3] = 2 * render.FLOOR - 1
    return video


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda video: video,
    "codec": cache.copies,
    "dropped frames": partial(drop_frames, seed=1),
    "hidden in part": partial(hide, seed=2),
}


def observations(scenes: list[scene.Scene], size: int = 32) -> dict[str, list[Observation]]:
    """What the judge reads in every kind of clips of scenes."""
    judge, video = load_judge(), render.video(scenes, 17, size, size)
    read = {kind: read_clips(judge, disturb(video)) for kind, disturb in KINDS.items()}
    return read | {"jitter": jitter(read["as they are"], 3)}


def hit_f1(
    observed: list[Observation], scenes: list[scene.Scene], bend: float, touch: float = motion.TOUCH
) -> float:
    """The F1 of hits that are seen against those that there are, before END and within a frame."""
    counts = []
    seen = sync.visible_events(observed, bend, touch)
    for one, truth in zip(seen, scenes, strict=True):
        hits = one.hits.before(END).seconds
        there = torch.tensor([hit.seconds for hit in truth.hits(END)], dtype=torch.float64)
        counts.append([len(sync.match_events(hits, there, sync.FRAME)), len(hits), len(there)])
    return stats.f1(*torch.tensor(counts).T).value


def run(seed: int, bar: Bar, n: int = N) -> dict:
    """{kind of clips: {digits: {bend: F1}, and {"within TOUCH": F1} at the bend that counts}}."""
    found: dict = {}
    for count in (1, 2):
        world = replace(random_scenes.FULL, counts=(count,))
        scenes = random_scenes.draw_scenes(n, SEED + seed, world)
        read = observations(scenes)
        tries = {str(bend): (bend, NEAR) for bend in BENDS} | {within(x): (BEND, x) for x in TOUCHES}
        pairs = [(kind, name) for kind in read for name in tries]
        for kind, name in bar(pairs, len(pairs), f"seed {seed}, {count}"):
            f1 = hit_f1(read[kind], scenes, *tries[name])
            found.setdefault(kind, {}).setdefault(str(count), {})[name] = f1
    return found


def within(touch: float) -> str:
    """What results are called at a nearness."""
    return f"within {touch}"


def best(results: dict) -> tuple[float, float]:
    """The bend and the nearness that the rule picks from the results of all seeds."""

    def mean(name: str) -> float:
        each = [
            digits[name] for found in results.values() for kind in found.values() for digits in kind.values()
        ]
        return sum(each) / len(each)

    return max(BENDS, key=lambda x: mean(str(x))), max(TOUCHES, key=lambda x: mean(within(x)))
