"""What a copy loses, in decibels."""

import pytest
import torch

from minivid.measure import fidelity


def test_decibels_are_those_of_the_textbook():
    clip = torch.zeros(2, 3, 1, 4, 4)
    assert fidelity.psnr(clip + 0.2, clip).tolist() == pytest.approx([20, 20])
    assert fidelity.psnr(clip + 0.02, clip).tolist() == pytest.approx([40, 40])
    assert fidelity.psnr(clip, clip).tolist() == [100, 100]


def test_the_floor_of_decibels_is_another_clip_in_each_ones_place():
    clips = torch.rand(6, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    row = fidelity.psnr_row(clips + 0.02, clips)
    assert row["ours"] == pytest.approx(40, abs=1e-3) and row["floor"] < 20
    assert row["floor"] == pytest.approx(fidelity.psnr(clips.roll(1, 0), clips).mean().item())
    assert fidelity.psnr_row(clips, clips, floor=False)["floor"] is None
