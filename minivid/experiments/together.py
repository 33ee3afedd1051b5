"""Sound and picture: apart, one after the other, or together; in equal steps.

Apart, the two never look at one another: what they share is the sentence. One after the other, a picture is
drawn first, and sound is made for it. Together, each looks at the other while both are half noise, the
picture a little ahead; the same network is also asked for both at equal noise, all the way. Two more learn
together under a handicap: one tells sound the time by the number of its tokens instead of by the clock, the
other lets sound think with the picture's feed-forwards, and so has fewer parameters (JavisDiT++ found both to
matter). All begin with what `video` knows, and have yet to learn sound; all guess what is heard, halfway,
even of a sound that they never see. "Same words" is the real sound of another scene of which the same is
said: what two perfect models would get that share nothing but the sentence.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from minivid import diffusion, generator, listener, patches, train
from minivid.experiments.keeping import Follow, followed, plain
from minivid.recipes import cache, clips, held_out, joint, latents, sync, video
from minivid.recipes.judging import referee
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene, sound

WHAT = "sound and picture made apart, one after the other, and together: sync at equal compute"
SEEDS = (0, 1, 2)
WORLD = replace(scene.EASY, hums=0.5)
FRAMES, KEPT = 17, 6000
PLAN = train.Plan(600, 32, learning_rate=1e-3, muon=0.02, compiled=True)


class Apart(generator.TextToClip):
    """Picture and sound that never look at one another."""

    def seen(self, n: int, m: int) -> Tensor:
        kind = torch.arange(n + m)[None] < n
        return patches.same_clip(kind, kind)


class After(generator.TextToClip):
    """Sound that looks at the picture, and a picture that knows of no sound."""

    def seen(self, n: int, m: int) -> Tensor:
        kind = torch.arange(n + m)[None] >= n
        return kind[..., :, None] >= kind[..., None, :]


class Counting(generator.TextToClip):
    """Sound that is told the numbers of its tokens, as if each were one of the picture's moments."""

    def moments(self, n: int) -> Tensor:
        at = super().moments(n)
        at[:, 0] = torch.arange(len(at)) * patches.FRAMES / patches.FRAMES_PER_SECOND
        return at


def alone(n: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise levels of pictures and of their sounds, (n,) each, for those who never compare the two."""
    t = video.levels(n, draws)
    return t, diffusion.shift(t, generator.LEAD)


def one_by_one(n: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Half learn pictures, whose sound is all noise; half learn sounds of pictures that are there."""
    t, first = video.levels(n, draws), torch.rand(n, generator=draws) < 0.5
    return torch.where(first, t, 0.0), torch.where(first, 1.0, t)


@dataclass(frozen=True)
class Way:
    """A network, and the noise levels that it learns at."""

    network: Callable[..., generator.TextToClip]
    levels: Callable[[int, torch.Generator], tuple[Tensor, Tensor]] = joint.draw_levels


WAYS = {
    "apart": Way(Apart, alone),
    "one after the other": Way(After, one_by_one),
    "together": Way(generator.TextToClip),
    "together, no common clock": Way(Counting),
    "together, shared thoughts": Way(functools.partial(generator.TextToClip, apart=False)),
}
EQUAL = "together, at equal noise"  # the same network as "together", asked in another way


@functools.cache
def data(kept: int) -> tuple[Tensor, Tensor, Tensor, list[scene.Scene]]:
    """Latents of pictures and of sounds, what is heard, see `joint.transcript`, and the scenes."""
    scenes = held_out.draw_scenes(kept, train.step_seed(7, 0), world=WORLD)
    hear = functools.partial(sound.audio, frames=FRAMES)
    return (
        cache.latents(f"together-seen-{kept}", latents.video_codec(), scenes, render.video),
        cache.latents(f"together-heard-{kept}", joint.audio_codec(), scenes, hear),
        joint.transcript(scenes, FRAMES),
        scenes,
    )


def batch(plan: train.Plan, draws: torch.Generator, kept: int | None = None) -> tuple[Tensor, ...]:
    """Latents of pictures (b, 8, 5, 8, 8) and of their sounds (b, 16, 68), and tokens (b, n).

    kept: how many clips are trained on; KEPT where nothing is said.
    """
    step = train.step_of(draws, plan.seed)
    *made, scenes = data(kept or KEPT)
    picked = latents.pick_all(made, scenes, plan.batch, draws, video.tokens)
    return joint.told(picked, step, plan)


def trained(
    name: str, seed: int, follow: Follow, plan: train.Plan = PLAN
) -> generator.JointGenerator:
    """A way that was learned, ready to be asked."""
    way, plan = WAYS[name], replace(plan, seed=seed)
    torch.manual_seed(seed)
    network = joint.begun(way.network(len(TOKENISER.words))).to(train.device())
    learned = followed(
        network,
        functools.partial(joint.loss, levels=way.levels),
        functools.partial(batch, plan),
        plan,
        follow,
        f"{name}, seed {seed}",
    )
    return joint.generator_of(learned)


def draw(ready: generator.JointGenerator, said: list[str], seed: int) -> generator.Clip:
    """Clips with sound; who makes sound for a picture draws the picture first."""
    clip = ready.draw(said, seed)
    if isinstance(ready.network, After):
        clip = generator.Clip(clip.video, ready.watching(clip.video).draw(said, seed).audio)
    return clip


def _ask(
    ready: generator.JointGenerator, said: list[str], some: slice, seed: int
) -> generator.Clip:
    return draw(ready, said[some], seed)


def run(seed: int, follow: Follow, n: int = 200) -> dict:
    """{way, EQUAL, "real", "same words": rows of `sync.table`, and "all", as asked}: [value, low, high]."""
    scenes = held_out.draw_scenes(n, seed, world=WORLD)
    asked = [one.describe() for one in scenes]
    said = [captions.write(one) for one in asked]
    real = generator.Clip(render.video(scenes), sound.audio(scenes))
    again = scene.draw_scenes(n, seed + 1, WORLD, descriptions=asked)
    found = {
        "real": _rows(real, asked),
        "same words": _rows(generator.Clip(real.video, sound.audio(again)), asked),
    }
    for name in WAYS:
        asking = {name: trained(name, seed, follow)}
        if name == "together":
            asking[EQUAL] = replace(asking[name], lead=1.0)
        for what, ready in asking.items():
            ask = functools.partial(_ask, ready, said)
            found[what] = _rows(joint.in_parts(ask, n, seed), asked)
    return found


def _rows(made: generator.Clip, asked: list[scene.Description]) -> dict:
    seen = clips.look(referee(), made.video)
    rows = sync.table(sync.sightings(seen), listener.listen(made.audio), FRAMES)
    rows["all"] = clips.asked_rows(asked, seen, seen)["all"]
    return plain(rows) | {
        "floor": {key: rows[key]["floor"] for key in ("onset_f1", "sharp_f1", "note_f1")}
    }
