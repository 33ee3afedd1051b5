"""The score of the video model: real clips reach its ceilings, clips that fall apart its floors."""

import pytest
import torch

from minivid.recipes import clips
from minivid.world import captions, render, scene

N = 264  # more than toy-FVD needs


def _real(network, sentences, seed):
    """What an ideal model draws: a real clip of each sentence."""
    asked = [captions.parse(sentence) for sentence in sentences]
    return render.video(scene.draw_scenes(len(asked), seed, descriptions=asked))


@pytest.fixture(scope="module")
def score():
    """clips.score of a way to draw, once for each."""
    found = {}

    def of(name, draw):
        if name not in found:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(clips, "draw", draw)
                found[name] = clips.score(None, N, 5)
        return found[name]

    return of


def test_real_clips_reach_every_ceiling(score):
    table = score("real", _real)
    for key in ("digit", "colour", "heading", "all", "unseen_digit", "unseen_all"):
        assert table[key]["ours"] > 0.99 and table[key]["ceiling"] > 0.99 > table[key]["floor"]
    assert table["identity"]["ours"] == table["identity"]["ceiling"] == 1
    assert table["identity"]["floor"] < 0.02
    assert table["flicker"]["ours"] == pytest.approx(table["flicker"]["ceiling"], rel=0.1)
    assert table["off_course"]["ours"] < 0.002 and table["velocity_error"]["ours"] < 0.02
    assert table["reflection_error"]["ours"] < 0.05 < table["reflection_error"]["floor"]
    assert table["toy_fvd"]["ours"] < 1.3 * table["toy_fvd"]["ceiling"]
    for row in table.values():
        assert row["interval"][0] <= row["ours"] <= row["interval"][1]


def test_clips_out_of_order_fall_to_the_floors_of_motion_and_keep_what_has_no_order(score):
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    table = score("shuffled", lambda *given: _real(*given)[:, :, order])
    for key in ("flicker", "off_course", "velocity_error", "reflection_error", "toy_fvd"):
        row = table[key]
        assert row["ours"] > 0.6 * row["floor"] > row["ceiling"], key
    assert table["digit"]["ours"] > 0.99 and table["identity"]["ours"] == 1
    assert table["heading"]["ours"] < 0.6


def test_noise_makes_every_measure_of_motion_worse_the_more_of_it(score):
    def noisy(level):
        def draw(network, sentences, seed):
            video = _real(network, sentences, seed)
            shake = torch.randn(video.shape, generator=torch.Generator().manual_seed(seed))
            return (video + level * shake).clamp(-1, 1)

        return draw

    rows = [
        score("real", _real),
        *(score(f"noise {x}", noisy(x)) for x in (0.15, 0.4)),
    ]
    for key in ("flicker", "off_course", "velocity_error", "toy_fvd"):
        clean, some, more = (row[key]["ours"] for row in rows)
        assert clean < some < more, key


def test_few_clips_are_scored_without_toy_fvd_and_not_refused():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "draw", _real)
        assert "toy_fvd" not in clips.score(None, 20, 5)


def test_an_empty_sentence_says_nothing_and_wordings_of_one_wish_are_near():
    nothing, one, other, another = clips.understand(
        ["", "a red 3 moves up", "a red three goes upwards", "a blue 8 moves left"]
    )
    assert (nothing == 0).all()
    near, far = (torch.cosine_similarity(one, x, dim=0) for x in (other, another))
    assert near > 0.9 > 0.7 > far
