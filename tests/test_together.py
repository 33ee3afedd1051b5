"""Sound and picture made apart, in turn or together: what attends to what, what is learned from what."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from minivid import diffusion, pipeline
from minivid.experiments import together, together_variants
from minivid.experiments.together_variants import VARIANTS
from minivid.models.text_to_video import TextToAudioVideo
from minivid.pipeline import TOKENIZER

SMALL = replace(pipeline.joint_config(), width=32, depth=2)


def small(name: str) -> TextToAudioVideo:
    torch.manual_seed(0)
    network = VARIANTS[name].build(SMALL)
    for parameter in network.dit.parameters():
        nn.init.normal_(parameter, std=0.15)
    return network.eval()


@pytest.mark.parametrize(
    "name, video_hears, audio_sees",
    [
        ("apart", False, False),
        ("one after the other", False, True),
        ("together", True, True),
        ("together, shared feed-forward", True, True),
    ],
)
def test_what_attends_to_what(name, video_hears, audio_sees):
    network, tokens = small(name), TOKENIZER(["a red 3 moves right"])
    rng = torch.Generator().manual_seed(0)
    video, audio = torch.randn(1, 8, 5, 8, 8, generator=rng), torch.randn(1, 16, 68, generator=rng)
    t = torch.full((1,), 0.5), torch.full((1,), 0.5)
    with torch.no_grad():
        before = network((video, audio), t, tokens)
        other_audio = network((video, audio.flip(2)), t, tokens)
        other_video = network((video.flip(2), audio), t, tokens)
    assert ((before[0] - other_audio[0]).abs().max() > 1e-4) == video_hears
    assert ((before[1] - other_video[1]).abs().max() > 1e-4) == audio_sees


def test_sound_without_shared_time_counts_its_tokens_and_a_shared_feed_forward_saves_parameters():
    usual, counting = small("together"), small("together, no shared time")
    assert usual.audio_positions(68)[1, 0] == 3 / 32 and counting.audio_positions(68)[1, 0] == 0.5
    sizes = {name: sum(p.numel() for p in small(name).parameters()) for name in VARIANTS}
    shared = sizes.pop("together, shared feed-forward")
    assert len(set(sizes.values())) == 1 and shared < min(sizes.values())


def test_in_turn_half_learn_pictures_and_half_sounds_of_pictures_that_are_given():
    levels = together_variants.OneByOne()
    video, audio = levels.draw(4000, torch.Generator().manual_seed(0))
    pictures = audio == 1
    assert 0.45 < pictures.float().mean() < 0.55
    assert (video[pictures] > 0).all() and (video[~pictures] == 0).all()
    assert ((audio[~pictures] > 0) & (audio[~pictures] < 1)).all()
    t, behind = together_variants.Alone().draw(10, torch.Generator().manual_seed(0))
    assert behind.equal(diffusion.time_shift(t, pipeline.AUDIO_SHIFT))


def test_every_variant_is_trained_and_generates(tmp_path, monkeypatch):
    monkeypatch.setattr(together, "DATASET_SIZE", 8)
    config = replace(together.CONFIG, steps=2, batch_size=2, warmup=1, compile=False)
    monkeypatch.setattr(together.train, "__defaults__", (config,))
    together.training_set.cache_clear()
    asked, generate = [], pipeline.Pipeline.generate

    def spy(self, *args, **settings):
        asked.append((settings.get("condition"), self.audio_shift))
        return generate(self, *args, **settings)

    monkeypatch.setattr(pipeline.Pipeline, "generate", spy)
    found = together.run(0, lambda steps, total, what: steps, n=6)
    together.training_set.cache_clear()
    assert found.keys() == {"real", "same words", together.EQUAL, *VARIANTS}
    assert found["real"]["onset_f1"][0] > found["same words"]["onset_f1"][0]
    assert found["real"]["onset_f1"][0] > 0.8 > found["together"]["onset_f1"][0]
    given = [condition for condition, _ in asked if condition is not None]
    assert len(given) == 1 and given[0].video.mask.all(), "in turn: first both, then for a picture"
    assert sum(shift == 1 for _, shift in asked) == 1 and len(asked) == len(VARIANTS) + 2
