"""How a model of picture and sound is scored: both together, and either made for the other."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from minivid import pipeline
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.measure import sync
from minivid.measure.adherence import agreement_rows, identity_rows, read_clips, score_easy
from minivid.measure.judge import load_judge
from minivid.measure.listener import listen
from minivid.measure.stats import with_bar
from minivid.pipeline import Clip
from minivid.recipes import cache
from minivid.recipes.features import clip_features
from minivid.world import captions, held_out, random_scenes, render, scene, sound


def ready(network: nn.Module, size: int = DEFAULT_FORMAT.width) -> pipeline.Pipeline:
    """The network, ready to generate clips of that size."""
    where = next(network.parameters()).device
    codecs = cache.video_codec(size).to(where), cache.audio_codec().to(where)
    return pipeline.Pipeline(network, *codecs)


def score(network: nn.Module, n: int, seed: int, size: int = DEFAULT_FORMAT.width) -> dict:
    """The videos as those of `video`; whether sound and picture belong together; either for the other.

    `full_` rows: of everything a caption says, in scenes of the full world, of which the rows of sync are,
    too, but for the `easy_` ones; `video_to_audio_` rows: sound made for real pictures, whose own is not
    heard; `audio_to_video_` rows: pictures made for real sounds. Ceilings: real clips.
    """
    made, generated = ready(network, size), []

    def generate(prompts: list[str], seed: int) -> Tensor:
        generated.append(made.generate(prompts, seed))
        return generated[-1].video

    rows = score_easy(generate, n, seed, clip_features, made.format)
    # It first asks for these scenes, of which the videos were scored; here are their sounds.
    easy = _real(held_out.draw_scenes(n, seed), made.format)
    ceiling = _sync(sync.watch(easy.video), easy.audio)
    clip = Clip(*(torch.cat(kind)[:n].cpu() for kind in zip(*generated, strict=True)))
    rows |= _under(ceiling, _sync(sync.watch(clip.video), clip.audio), "easy_")

    scenes = held_out.draw_scenes(n, seed + 5, held_out.SEEN, random_scenes.FULL)
    real = _real(scenes, made.format)
    prompts = [captions.write(one.describe()) for one in scenes]
    judge = load_judge()
    truth = read_clips(judge, real.video)
    visible = sync.visible_events(truth)
    ceiling = _sync(visible, real.audio)
    clip = in_parts(lambda some, seed: made.generate(prompts[some], seed), n, seed)
    observed = read_clips(judge, clip.video)
    full = agreement_rows([one.describe() for one in scenes], observed, truth)
    full |= identity_rows(observed, truth)
    rows |= {f"full_{key}": row for key, row in full.items()}
    rows |= _under(ceiling, _sync(sync.visible_events(observed), clip.audio))

    def sound_for(some: slice, seed: int) -> Clip:
        condition = made.video_to_audio(real.video[some])
        return made.generate(prompts[some], seed, condition=condition)

    def video_for(some: slice, seed: int) -> Clip:
        condition = made.audio_to_video(real.audio[some])
        return made.generate(prompts[some], seed, condition=condition)

    clip = in_parts(sound_for, n, seed)
    rows |= _under(ceiling, _sync(visible, clip.audio), "video_to_audio_")
    clip = in_parts(video_for, n, seed)
    return rows | _under(ceiling, _sync(sync.watch(clip.video), real.audio), "audio_to_video_")


def in_parts(generate: Callable[[slice, int], Clip], n: int, seed: int, size: int = 50) -> Clip:
    """n clips with their sounds, made `size` at a time: generate(which of them, seed)."""
    starts = with_bar(range(0, n, size), "generating", size)
    parts = [generate(slice(k, k + size), seed + k) for k in starts]
    return Clip(*(torch.cat(many).cpu() for many in zip(*parts, strict=True)))


def _real(scenes: list[scene.Scene], shape: Format) -> Clip:
    return Clip(render.in_format(scenes, shape), sound.audio(scenes, frames=shape.frames))


def _sync(seen: list[sync.Visible], audio: Tensor) -> dict:
    """Rows of what is seen against a sound."""
    return sync.sync_rows(seen, listen(audio), DEFAULT_FORMAT.frames)


def _under(ceiling: dict, rows: dict, prefix: str = "") -> dict:
    """The rows under what real clips reach: their own rows."""
    best = {key: row["ours"] for key, row in ceiling.items()}
    return {prefix + key: row | {"ceiling": best.get(key)} for key, row in rows.items()}
