"""Motion: flicker, smoothness, and how far from the nearest lawful flight, by simulation and at the edges."""

import math

import pytest
import torch

from minivid.formats import frame_times
from minivid.measure import motion
from minivid.measure.sync import match_events
from minivid.world import random_scenes

WHEN = frame_times(17)


def test_a_still_background_does_not_flicker_and_noise_does_in_proportion():
    video = torch.zeros(2, 3, 9, 8, 8)
    ink = torch.zeros(2, 9, 8, 8, dtype=torch.bool)
    ink[:, :, 2:5, 2:5] = True
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    video[:, :, :, 2:5, 2:5] = noise[:, :, :, 2:5, 2:5]  # a digit may change as it likes
    assert (motion.flicker(video, ink) == 0).all()
    weak, strong = (motion.flicker(video + level * noise, ink).mean().item() for level in (0.1, 0.3))
    assert strong == pytest.approx(3 * weak, rel=1e-4)
    assert weak == pytest.approx(0.1 * 2 / math.sqrt(math.pi), rel=0.1)  # E|a - b| of normals


def test_a_whole_frame_flickers_with_noise_in_proportion():
    video = torch.zeros(2, 3, 9, 8, 8)
    assert (motion.flicker(video) == 0).all()
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    weak, strong = (motion.flicker(level * noise).mean().item() for level in (0.1, 0.3))
    assert strong == pytest.approx(3 * weak, rel=1e-4)


def test_straight_flight_with_bounces_is_smooth_and_a_shuffled_one_is_not():
    time = torch.arange(17.0)
    zigzag = 1 - (0.15 * time % 2 - 1).abs()
    flight = torch.stack([zigzag, 0.02 * time], -1)[None]
    assert motion.jerkiness(flight).item() < 1e-6
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    assert motion.jerkiness(flight[:, order]).item() > 0.2
    shake = torch.randn(flight.shape, generator=torch.Generator().manual_seed(1))
    weak, strong = (motion.jerkiness(flight + level * shake).item() for level in (0.01, 0.03))
    assert 0 < weak < strong


def test_frame_agreement_counts_the_commonest_name_among_frames_that_can_be_read():
    names = torch.tensor([[3, 3, 3, 3], [3, 3, 8, 8], [3, -1, -1, 5], [-1, -1, -1, -1], [7, -1, 7, 7]])
    assert motion.frame_agreement(names).tolist() == [1, 0.5, 0.5, 0, 1]


def _flights(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and velocities of digits in scenes of the easy world, from the simulator."""
    scenes = random_scenes.draw_scenes(n, 3)
    positions = torch.stack([one.positions(WHEN)[0] for one in scenes])
    return positions, torch.tensor([one.bodies[0].velocity for one in scenes])


def test_the_nearest_flight_of_a_lawful_one_is_itself_bounces_and_all():
    positions, velocity = _flights()
    flight = motion.nearest_flight(positions, WHEN)
    assert (flight.positions - positions).abs().max() < 4e-3
    assert (flight.velocity - velocity).norm(dim=1).median() < 1e-3
    bends = positions.diff(dim=1).sign().diff(dim=1).ne(0).any(-1).sum()
    assert bends >= 10 and flight.bounced.any((1, 2)).sum() >= 10
    aside = motion.nearest_flight(positions + torch.tensor([0.02, -0.03]), WHEN)
    moved = aside.positions - flight.positions - torch.tensor([0.02, -0.03])
    assert moved.abs().max() < 4e-3  # ink's centre is not the box's
    # Where a wall is met within the first frames, several velocities before it fit as well.
    assert (aside.velocity - flight.velocity).abs().amax(1).quantile(0.95) < 1e-2


def test_real_clips_are_lawful_to_the_judges_eye_and_no_others_are():
    positions, _ = _flights()
    rng = torch.Generator().manual_seed(0)
    shake = torch.randn(positions.shape, generator=rng)
    lawful, weak, strong = (motion.physics(positions + level * shake, WHEN) for level in (0, 0.01, 0.03))
    assert lawful.reflection_error.isnan().any()  # not every digit meets a wall in time
    for real, some, more in zip(lawful, weak, strong, strict=True):
        assert real.nanmean() < 0.1 * some.nanmean() and 2 < more.nanmean() / some.nanmean() < 4
    shuffled = motion.physics(positions[:, torch.randperm(17, generator=rng)], WHEN)
    assert shuffled.trajectory_error.mean() > 0.1 and shuffled.velocity_error.mean() > 0.5
    through = torch.stack([torch.linspace(-0.3, 0.9, 17), torch.zeros(17)], -1)[None]
    slowing = torch.stack([0.3 - 0.6 * torch.exp(-1.5 * WHEN), torch.zeros(17)], -1)[None]
    assert motion.physics(slowing, WHEN).trajectory_error > 0.01  # neither bounce nor even flight
    # out of the room, as if there were no wall
    assert motion.physics(through, WHEN).trajectory_error > 0.02
    with pytest.raises(ValueError, match="NaN"):
        motion.nearest_flight(positions * math.nan, WHEN)
    with pytest.raises(ValueError, match="at least 4"):
        motion.physics(positions[:, :3], WHEN[:3])


def test_where_the_walls_are_known_a_graze_at_the_end_is_found_and_a_bend_elsewhere_is_no_hit():
    """0.004 short sides past the wall in the last frame: nothing to see in the path but where it is."""
    reach = torch.tensor([[0.6, 0.6]])
    along = 0.3 * WHEN - 0.3 * WHEN[-1] + 0.304  # of which 0.3 is the wall
    grazing = torch.stack([0.3 - (along - 0.3).abs(), torch.zeros(17)], -1)[None]
    (found,) = motion.nearest_flight(grazing, WHEN, None, reach).hits
    assert found.tolist() == pytest.approx([WHEN[-1].item() - 0.004 / 0.3], abs=0.01)
    (found,) = motion.nearest_flight(grazing - torch.tensor([0.02, 0]), WHEN, None, reach).hits
    assert len(found) == 0
    turning = torch.cat([grazing[:, :9], grazing[:, :8].flip(1)], 1)  # amid the room
    assert len(motion.nearest_flight(turning, WHEN, None, reach).hits[0]) == 0
    assert len(motion.nearest_flight(turning, WHEN).hits[0]) > 0  # who knows no walls is misled


def test_hidden_frames_do_not_count_and_wide_rooms_have_their_own_walls():
    room = (2.0, 1.0)
    scenes = random_scenes.draw_scenes(40, 5, room=room)
    when = frame_times(33)
    positions = torch.stack([one.positions(when)[0] for one in scenes])
    reach = torch.tensor([[2 - o.bodies[0].width, 1 - o.bodies[0].height] for o in scenes])
    error = motion.physics(positions, when, None, reach).trajectory_error
    assert error.max() < 5e-3
    clear = torch.ones(40, 33, dtype=torch.bool)
    clear[:, 10:15] = False
    hidden = positions.clone()
    hidden[:, 10:15] += 0.2
    masked = motion.physics(hidden, when, clear, reach).trajectory_error
    assert masked.max() < 5e-3 < 0.02 < motion.physics(hidden, when, None, reach).trajectory_error.min()


def test_velocity_is_not_compared_where_a_wall_is_hit(monkeypatch):
    bounced = torch.zeros(1, 16, 2, dtype=torch.bool)
    bounced[:, 7, 1] = True
    lawful = motion.Flight(torch.zeros(1, 17, 2).double(), torch.zeros(1, 2), bounced, [])
    monkeypatch.setattr(motion, "nearest_flight", lambda *flights: lawful)
    for step, expected in ((7, 0.0), (6, 8 * 0.5 / 15)):
        positions = torch.zeros(1, 17, 2)
        positions[:, step + 1 :, 0] = 0.5  # one jump of half a room in an eighth of a second
        found = motion.physics(positions, WHEN).velocity_error.item()
        assert found == pytest.approx(expected)


def test_a_digit_that_sticks_to_the_wall_or_comes_back_slower_is_not_reflected(monkeypatch):
    bounced = torch.zeros(1, 16, 2, dtype=torch.bool)
    bounced[:, 7, 0] = bounced[:, 15, 1] = True  # the last has no step after it: it does not count
    flight = motion.Flight(torch.zeros(1, 17, 2).double(), torch.zeros(1, 2), bounced, [])
    monkeypatch.setattr(motion, "nearest_flight", lambda *flights: flight)
    for after, expected in ((-0.4, 0.0), (0.0, 0.4), (-0.1, 0.3), (0.4, 0.8)):
        velocity = torch.full((16,), 0.4)
        velocity[8:] = after
        x = torch.cat([torch.zeros(1), (velocity / 8).cumsum(0)])
        found = motion.physics(torch.stack([x, torch.zeros(17)], -1)[None], WHEN)
        assert found.reflection_error.item() == pytest.approx(expected, abs=1e-5)


def test_wall_hits_are_found_between_the_frames():
    scenes = random_scenes.draw_scenes(60, 11)
    positions = torch.stack([one.positions(WHEN)[0] for one in scenes])
    found = motion.nearest_flight(positions, WHEN).hits
    errors, missed, many = [], 0, 0
    for one, hits in zip(scenes, found, strict=True):
        truth = torch.tensor([hit.seconds for hit in one.hits(17 / 8)])
        truth = truth[(truth > WHEN[1]) & (truth < WHEN[-2])]
        matched = match_events(truth, hits, 1 / 8)
        errors.append((hits[matched[:, 1]] - truth[matched[:, 0]]).abs())
        missed, many = missed + len(truth) - len(matched), many + len(truth)
    assert many > 50 and missed / many < 0.03
    assert torch.cat(errors).median() < 0.01, "a frame lasts 0.125 s"


def test_of_a_clip_without_ink_nothing_is_known():
    """Not a lawful flight, of no error."""
    nowhere = torch.zeros(2, 17, 2)
    found = motion.physics(nowhere, WHEN, torch.zeros(2, 17, dtype=torch.bool), torch.full((2, 2), 0.6))
    assert all(error.isnan().all() for error in found)


def test_a_bounce_that_is_hidden_is_no_bad_bounce():
    """Where a digit is hidden its place is the one it was last seen at; that says nothing of the wall."""
    x = (0.25 - (WHEN - 1.0).abs() * 0.4).float()
    seen = torch.stack([x, torch.zeros(17)], -1)[None]
    clear, reach = torch.ones(1, 17, dtype=torch.bool), torch.tensor([[0.5, 0.5]])
    hidden = clear.clone()
    hidden[:, 6:10] = False
    assert motion.physics(seen, WHEN, clear, reach).reflection_error.isfinite().all()
    assert motion.physics(seen, WHEN, hidden, reach).reflection_error.isnan().all()
