"""The second judge and the labels: what checks the judge."""

import pytest
import torch

from minivid import recipes
from minivid.measure.adherence import agreement
from minivid.recipes import clip_reader, labels, second_judge
from minivid.training import TrainConfig
from minivid.world import random_scenes, render, scene


@pytest.fixture(scope="module")
def shipped():
    return recipes.load("second_judge")


@pytest.mark.parametrize("size", [32, 64])
def test_it_reads_real_clips(shipped, size):
    scenes = random_scenes.draw_scenes(60, 808, random_scenes.DIRECTED)
    read = shipped.read(render.video(scenes, 17, size, size))
    rows = [agreement(one.describe(), found) for one, found in zip(scenes, read, strict=True)]
    right = {key: sum(row[key] for row in rows) / 60 for key in rows[0]}
    right.pop("all_attributes")
    assert min(right.values()) > 0.8, right


def test_it_shares_no_weight_with_the_judge_and_reads_without_the_simulators_rooms(shipped, monkeypatch):
    def broken(*args):
        raise AssertionError("it knows no rooms")

    monkeypatch.setattr(render, "rooms_on_path", broken)
    video = torch.rand(2, 3, 17, 32, 32) * 2 - 1
    for description in shipped.read(video):
        assert isinstance(description, scene.Description)
    for own in recipes.load("judge").parameters():
        for other in shipped.parameters():
            assert own.shape != other.shape or own.ndim < 2 or not torch.allclose(own, other, atol=0.01)


def test_it_learns_where_each_colour_is_and_what_it_is_told():
    """A handful of clips, learned by heart: every term of the loss falls."""
    torch.manual_seed(0)
    network = clip_reader.SecondJudge(width=32)
    config = TrainConfig(1, 4, 1e-3)
    batch = second_judge.draw_batch(config, torch.Generator().manual_seed(5))
    video, truth, positions = batch
    assert truth.shape[1] == 3 + len(clip_reader.ANSWERS) and len(truth) == len(positions)
    assert positions.abs().max() < 1 and video.shape == (4, 3, 17, 64, 64)
    optimizer, losses = torch.optim.AdamW(network.parameters(), 3e-3), []
    for step in range(40):
        loss = second_judge.loss(network, batch, torch.Generator().manual_seed(step))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5]), losses


# Labels ------------------------------------------------------------------------------------------


def test_labels_are_whole_and_name_what_is_allowed():
    found = labels.load()
    assert found.clips.shape == (200, 3, 17, 32, 32) and found.clips.abs().max() <= 1
    assert len(found.prompts) == len(found.first) == len(found.second) == 200
    for one in (*found.first, *found.second):
        assert one["camera"] in scene.CAMERAS[:7] and one["style"] in scene.STYLES
        assert 1 <= len(one["digits"]) <= 2
        for digit in one["digits"]:
            assert digit["digit"] is None or digit["digit"] in scene.DIGITS
            assert digit["colour"] in scene.COLOURS and digit["heading"] in (None, *scene.HEADINGS)
            assert digit["legible"] in ("yes", "partly", "no")


def test_the_two_passes_mostly_agree():
    """Digits less than colours: many of these are no digits."""
    rows = labels.rows(lambda clips: [scene.Description()] * len(clips))
    for same, named in labels.passes_agree().values():
        assert 280 < named and 0.9 * named < same <= named
    assert all(row["ours"] == 0 for row in rows.values()), "who reads nothing is never right"


def test_a_judge_that_reads_what_was_labelled_is_always_right():
    found = labels.load()
    at = iter(found.first)

    def read(clips):
        made = []
        for _ in clips:
            one = next(at)
            colours = [d["colour"] for d in one["digits"]]
            subjects = {  # of a colour that is there twice no digit can be named
                d["colour"]: scene.Subject(
                    (d["digit"] or 0) if colours.count(d["colour"]) == 1 else None, d["colour"], d["heading"]
                )
                for d in one["digits"]
            }
            made.append(scene.Description(tuple(subjects.values()), one["camera"], style=one["style"]))
        return made

    assert all(row["ours"] == 1 for row in labels.rows(read).values())
