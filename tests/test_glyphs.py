"""Pen strokes are true distances in their box; MNIST from small files made here."""

import gzip
import hashlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivid import recipes
from minivid.world import glyphs, random_scenes, render, scene

AXIS = ((torch.arange(glyphs.SIZE) + 0.5) / glyphs.SIZE - 0.5) * glyphs.REACH
STEP = glyphs.REACH / glyphs.SIZE


def _ink(digit: int, aspect: float, hand: int, bold: float = 0.0) -> torch.Tensor:
    return glyphs.strokes([digit], torch.tensor([aspect]), [hand], torch.tensor([bold]))[0]


@given(st.integers(0, 9), st.floats(0.4, 0.85), st.integers(0, 2**31 - 1), st.sampled_from([0, 1]))
@settings(max_examples=60, deadline=None)
def test_ink_touches_all_four_sides_of_its_box_and_stays_inside(digit, aspect, hand, bold):
    """So that a wall hit, which is the box's, is a contact that is seen."""
    distance = _ink(digit, aspect, hand, bold)
    rows, columns = distance.amin(1), distance.amin(0)
    for least, half in ((rows, 0.5), (columns, aspect / 2)):
        beyond = AXIS.abs() > half + STEP
        assert (least[beyond] > 0).all()
        for side in (-1, 1):
            edge = (AXIS * side - half).abs().argmin()
            assert least[edge].abs() < 1.5 * STEP


def test_the_hand_is_its_seed():
    assert (_ink(3, 0.7, 5) == _ink(3, 0.7, 5)).all()
    drawn = torch.stack([_ink(3, 0.7, hand) < 0 for hand in range(30)]).flatten(1).float()
    overlap = drawn @ drawn.T / (drawn.sum(1)[:, None] + drawn.sum(1) - drawn @ drawn.T)
    assert 0.2 < overlap[~torch.eye(30, dtype=bool)].mean() < 0.8  # alike, and not the same


def test_distances_are_those_of_a_brute_search():
    ends = torch.rand(2, 5, 2, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    ends[0, 4, 1] = ends[0, 4, 0]  # a dot
    along = torch.linspace(0, 1, 2001)[:, None, None]
    found = glyphs.distance(ends)
    for row in range(2):
        dots = ends[row, :, 0] + along * (ends[row, :, 1] - ends[row, :, 0])
        brute = torch.cdist(glyphs.POINTS, dots.flatten(0, 1)).amin(1)
        torch.testing.assert_close(found[row], brute, atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [24, 64])
def test_every_way_of_writing_can_be_read(size):
    bodies = [
        scene.Body(d, "green", "up", (0, 0), width=0.18 if d == 1 else 0.3, hand=17 * h)
        for d in range(10)
        for h in range(20)
    ]
    pictures = render.portraits([scene.Scene((body,)) for body in bodies], size)
    read, _ = recipes.load("judge").read_portraits(pictures)
    right = read == torch.tensor([body.digit for body in bodies])
    assert right.float().mean() > 0.98


# MNIST


def _idx(array: np.ndarray) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return b"\x00\x00\x08" + bytes([array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def files(tmp_path):
    """Twenty images of our own digits in MNIST's format: images gzipped, labels plain."""
    labels = np.arange(20) % 10
    inks = np.stack([np.asarray(_ink(int(d), 0.7, k) < 0) for k, d in enumerate(labels)])
    images = np.zeros((20, 28, 28))
    images[:] = 255 * inks[:, 6:34, 6:34]
    contents = {
        "train-images-idx3-ubyte.gz": gzip.compress(_idx(images)),
        "train-labels-idx1-ubyte.gz": _idx(labels),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path, {n: hashlib.md5(c).hexdigest() for n, c in contents.items()}


def test_mnist_flies_through_the_room_as_any_hand(files):
    folder, hashes = files
    hand = glyphs.Mnist(folder, hashes=hashes)
    scenes = random_scenes.draw_scenes(4, 1)
    drawn, ours = render.video(scenes, 5, hand=hand), render.video(scenes, 5)
    assert (drawn == render.video(scenes, 5, hand=hand)).all()
    bright = [(video.amax(1) > 0).float().mean() for video in (drawn, ours)]
    assert 0.5 < bright[0] / bright[1] < 2 and not torch.equal(drawn, ours)


def test_files_that_are_not_mnist_say_what_is_wrong(files, monkeypatch):
    folder, hashes = files

    def offline(*_):
        raise AssertionError("touched the network")

    monkeypatch.setattr("socket.socket.connect", offline)
    images, labels = (folder / name for name in hashes)
    content = images.read_bytes()

    def refused(message: str, **own_hashes: str) -> None:
        with pytest.raises(ValueError, match=message):
            glyphs.Mnist(folder, hashes=hashes | own_hashes)

    images.write_bytes(content[:-20])
    refused("has hash .*altered or truncated.*fetch_mnist")
    same = {images.name: hashlib.md5(content[:-20]).hexdigest()}
    refused("torn gzip", **same)
    for altered, message in (
        (_idx(np.zeros((20, 28, 28)))[:-5], "shorter or longer than its header"),
        (b"no such thing", "no IDX file"),
        (_idx(np.zeros((19, 28, 28))), "19 images but 20 labels"),
    ):
        images.write_bytes(altered)
        refused(message, **{images.name: hashlib.md5(altered).hexdigest()})
    images.write_bytes(content)
    few = _idx(np.zeros(20))
    labels.write_bytes(few)
    refused("no image of", **{labels.name: hashlib.md5(few).hexdigest()})
    labels.unlink()
    refused("is not there. Call glyphs.fetch_mnist")
    with pytest.raises(ValueError, match="'train' and 'test'"):
        glyphs.Mnist(folder, "validation", hashes)
