"""Numbers and their intervals: against published values, by simulation, and at the edges."""

import math

import pytest
import torch

from minivid import metrics
from minivid.world import scene


def test_wilson_interval_against_published_values():
    """Newcombe 1998 (Statistics in Medicine 17, table I, method 3)."""
    for right, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = metrics.share(torch.arange(n) < right)
        assert found.value == pytest.approx(right / n)
        assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    covered = []
    for truth in torch.linspace(0.5, 0.99, 50).tolist():
        trials = torch.rand(100, 200, generator=generator) < truth
        covered += [low <= truth <= high for _, low, high in map(metrics.share, trials)]
    assert 0.94 < sum(covered) / len(covered) < 0.96


def test_all_right_is_not_certainty():
    perfect = metrics.share(torch.ones(100, dtype=torch.bool))
    assert perfect.value == perfect.high == 1 and perfect.low == pytest.approx(0.963, abs=1e-3)
    with pytest.raises(ValueError, match="no trials"):
        metrics.share(torch.ones(0))


def test_chi_square_against_its_table():
    """Quantiles of the chi-square distribution, to the digits printed in tables."""
    for statistic, freedom, chance in (
        (16.919, 9, 0.05),
        (21.666, 9, 0.01),
        (3.841, 1, 0.05),
        (18.307, 10, 0.05),
    ):
        assert metrics.chance_above(statistic, freedom) == pytest.approx(chance, abs=5e-5)
    assert metrics.chance_above(2 * math.log(4), 2) == pytest.approx(0.25)  # exact: e^(-x/2)


def test_fair_labels_give_every_chance_equally_often_and_unfair_ones_do_not():
    generator = torch.Generator().manual_seed(1)
    chances = [
        metrics.balance(torch.randint(10, (500,), generator=generator), 10).value
        for _ in range(600)
    ]
    for level in (0.1, 0.5, 0.9):
        share = sum(chance < level for chance in chances) / len(chances)
        assert abs(share - level) < 0.06
    loaded = torch.cat([torch.randint(10, (400,), generator=generator), torch.full((100,), 8)])
    assert metrics.balance(loaded, 10).value < 1e-6
    with pytest.raises(ValueError, match="at least 50"):
        metrics.balance(torch.arange(10), 10)


def test_the_bootstrap_agrees_with_theory_and_repeats():
    values = torch.randn(400, generator=torch.Generator().manual_seed(2))
    found = metrics.bootstrap(values)
    half = 1.96 * values.std().item() / 20
    assert found.low == pytest.approx(found.value - half, rel=0.1, abs=0.01)
    assert found.high == pytest.approx(found.value + half, rel=0.1, abs=0.01)
    assert found == metrics.bootstrap(values)
    with pytest.raises(ValueError, match="at least two"):
        metrics.bootstrap(values[:1])


def test_a_still_background_does_not_flicker_and_noise_does_in_proportion():
    video = torch.zeros(2, 3, 9, 8, 8)
    ink = torch.zeros(2, 9, 8, 8, dtype=torch.bool)
    ink[:, :, 2:5, 2:5] = True
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    video[:, :, :, 2:5, 2:5] = noise[:, :, :, 2:5, 2:5]  # a digit may change as it likes
    assert (metrics.flicker(video, ink) == 0).all()
    weak, strong = (
        metrics.flicker(video + level * noise, ink).mean().item() for level in (0.1, 0.3)
    )
    assert strong == pytest.approx(3 * weak, rel=1e-4)
    assert weak == pytest.approx(0.1 * 2 / math.sqrt(math.pi), rel=0.1)  # E|a - b| of normals


def test_straight_flight_with_bounces_is_smooth_and_a_shuffled_one_is_not():
    time = torch.arange(17.0)
    fold = 1 - (0.15 * time % 2 - 1).abs()
    flight = torch.stack([fold, 0.02 * time], -1)[None]
    assert metrics.jerkiness(flight).item() < 1e-6
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    assert metrics.jerkiness(flight[:, order]).item() > 0.2
    shake = torch.randn(flight.shape, generator=torch.Generator().manual_seed(1))
    weak, strong = (metrics.jerkiness(flight + level * shake).item() for level in (0.01, 0.03))
    assert 0 < weak < strong


def test_frechet_distance_of_known_gaussians():
    """For N(m, s²) in one dimension it is (m - m')² + (s - s')², and dimensions add up."""
    x = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T  # exactly N(0, 1)
    y = x * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([0.5, 0.0, 0.0])
    assert metrics.frechet(x, y) == pytest.approx(0.25 + 1 + 4)
    assert metrics.frechet(x, x) == pytest.approx(0, abs=1e-9)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turned = metrics.frechet(x @ turn.double(), y @ turn.double())
    assert turned == pytest.approx(metrics.frechet(x, y))
    halves = [metrics.frechet(x[:n], x[n : 2 * n]) for n in (50, 500, 5000)]
    assert halves[0] > halves[1] > halves[2] > 0
    with pytest.raises(ValueError, match="more samples than features"):
        metrics.frechet(x[:3], x)


def test_the_jackknife_agrees_with_theory_on_a_mean_and_keeps_to_its_own_samples():
    x = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = metrics.jackknife(lambda values: values.mean().item(), x)
    half = 1.96 * x.std().item() / 20
    assert found.value == pytest.approx(x.mean().item())
    assert found.high - found.value == pytest.approx(half, rel=0.35)
    assert found.high - found.value == pytest.approx(found.value - found.low)
    gap = metrics.jackknife(lambda a, b: (a.mean() - b.mean()).item(), x, x + 1)
    assert gap == pytest.approx((-1, -1, -1))
    with pytest.raises(ValueError, match="at least"):
        metrics.jackknife(lambda values: 0.0, x[:5])


def test_identity_counts_the_commonest_name_among_frames_that_can_be_read():
    names = torch.tensor(
        [[3, 3, 3, 3], [3, 3, 8, 8], [3, -1, -1, 5], [-1, -1, -1, -1], [7, -1, 7, 7]]
    )
    assert metrics.identity(names).tolist() == [1, 0.5, 0.5, 0, 1]


def test_a_whole_frame_flickers_with_noise_in_proportion():
    video = torch.zeros(2, 3, 9, 8, 8)
    assert (metrics.flicker(video) == 0).all()
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    weak, strong = (metrics.flicker(level * noise).mean().item() for level in (0.1, 0.3))
    assert strong == pytest.approx(3 * weak, rel=1e-4)


WHEN = scene.frame_times(17)


def _flights(n: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Places and velocities of digits in scenes of the easy world, from the simulator."""
    scenes = scene.draw_scenes(n, 3)
    places = torch.stack([one.positions(WHEN)[0] for one in scenes])
    return places, torch.tensor([one.bodies[0].velocity for one in scenes])


def test_the_nearest_flight_of_a_lawful_one_is_itself_bounces_and_all():
    places, velocity = _flights()
    flight = metrics.nearest_flight(places, WHEN)
    assert (flight.places - places).abs().max() < 4e-3
    assert (flight.velocity - velocity).norm(dim=1).median() < 1e-3
    bends = places.diff(dim=1).sign().diff(dim=1).ne(0).any(-1).sum()
    assert bends >= 10 and flight.bounced.any((1, 2)).sum() >= 10
    aside = metrics.nearest_flight(places + torch.tensor([0.02, -0.03]), WHEN)
    assert (aside.velocity - flight.velocity).abs().max() < 1e-2  # ink's centre is not the box's


def test_real_clips_are_lawful_to_the_judges_eye_and_no_others_are():
    places, _ = _flights()
    generator = torch.Generator().manual_seed(0)
    shake = torch.randn(places.shape, generator=generator)
    lawful, weak, strong = (
        metrics.physics(places + level * shake, WHEN) for level in (0, 0.01, 0.03)
    )
    assert lawful.reflection_error.isnan().any()  # not every digit meets a wall in time
    for real, some, more in zip(lawful, weak, strong, strict=True):
        assert real.nanmean() < 0.1 * some.nanmean() and 2 < more.nanmean() / some.nanmean() < 4
    shuffled = metrics.physics(places[:, torch.randperm(17, generator=generator)], WHEN)
    assert shuffled[0].mean() > 0.1 and shuffled[1].mean() > 0.5
    through = torch.stack([torch.linspace(-0.3, 0.9, 17), torch.zeros(17)], -1)[None]
    slowing = torch.stack([0.3 - 0.6 * torch.exp(-1.5 * WHEN), torch.zeros(17)], -1)[None]
    assert metrics.physics(slowing, WHEN)[0] > 0.01  # neither bounce nor even flight
    assert metrics.physics(through, WHEN)[0] > 0.02  # out of the room, as if there were no wall
    with pytest.raises(ValueError, match="at least 4"):
        metrics.physics(places[:, :3], WHEN[:3])


def test_velocity_is_not_compared_where_a_wall_is_hit(monkeypatch):
    bounced = torch.zeros(1, 16, 2, dtype=torch.bool)
    bounced[:, 7, 1] = True
    lawful = metrics.Flight(torch.zeros(1, 17, 2).double(), torch.zeros(1, 2), bounced, [])
    monkeypatch.setattr(metrics, "nearest_flight", lambda places, seconds: lawful)
    for step, expected in ((7, 0.0), (6, 8 * 0.5 / 15)):
        places = torch.zeros(1, 17, 2)
        places[:, step + 1 :, 0] = 0.5  # one jump of half a room in an eighth of a second
        assert metrics.physics(places, WHEN)[1].item() == pytest.approx(expected)


def test_a_digit_that_sticks_to_the_wall_or_comes_back_slower_is_not_reflected(monkeypatch):
    bounced = torch.zeros(1, 16, 2, dtype=torch.bool)
    bounced[:, 7, 0] = bounced[:, 15, 1] = True  # the last has no step after it: it does not count
    flight = metrics.Flight(torch.zeros(1, 17, 2).double(), torch.zeros(1, 2), bounced, [])
    monkeypatch.setattr(metrics, "nearest_flight", lambda places, seconds: flight)
    for after, expected in ((-0.4, 0.0), (0.0, 0.4), (-0.1, 0.3), (0.4, 0.8)):
        velocity = torch.full((16,), 0.4)
        velocity[8:] = after
        x = torch.cat([torch.zeros(1), (velocity / 8).cumsum(0)])
        found = metrics.physics(torch.stack([x, torch.zeros(17)], -1)[None], WHEN)
        assert found.reflection_error.item() == pytest.approx(expected, abs=1e-5)


# Picture and sound -------------------------------------------------------------------------------


def flights_of(n: int) -> tuple[list[scene.Scene], torch.Tensor, torch.Tensor]:
    """Scenes of one digit, where it is in each of 17 frames (n, 17, 2), and when those are."""
    scenes, seconds = scene.draw_scenes(n, 11), scene.frame_times(17)
    places = torch.stack([one.positions(seconds)[0] for one in scenes])
    return scenes, places, seconds


def test_wall_hits_are_found_between_the_frames():
    scenes, places, seconds = flights_of(60)
    found = metrics.nearest_flight(places, seconds).hits
    late, missed, many = [], 0, 0
    for one, seen in zip(scenes, found, strict=True):
        truth = torch.tensor([hit.seconds for hit in one.hits(17 / 8)])
        truth = truth[(truth > seconds[1]) & (truth < seconds[-2])]
        together = metrics.pairs(truth, seen, 1 / 8)
        late.append((seen[together[:, 1]] - truth[together[:, 0]]).abs())
        missed, many = missed + len(truth) - len(together), many + len(truth)
    assert many > 50 and missed / many < 0.03
    assert torch.cat(late).median() < 0.01, "a frame lasts 0.125 s"


def test_as_many_pairs_as_can_be_and_none_too_far_apart():
    seen, heard = torch.tensor([0.1, 0.5, 0.6, 2.0]), torch.tensor([0.15, 0.58, 1.0, 1.95, 3.0])
    assert metrics.pairs(seen, heard, 0.1).tolist() == [[0, 0], [1, 1], [3, 3]]
    assert metrics.pairs(seen, heard, 0.41).tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert metrics.pairs(heard, seen, 0.41).tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert metrics.pairs(seen, heard[:0], 1.0).shape == (0, 2)


@pytest.mark.parametrize("lag", [-0.08, 0.0, 0.03])
def test_a_known_lag_of_strokes_comes_back(lag):
    scenes, _, _ = flights_of(40)
    struck = [torch.tensor([hit.seconds for hit in one.hits(17 / 8)]) for one in scenes]
    found = [metrics.pairs(times, times + lag, 0.125) for times in struck]
    late = torch.cat([(t + lag)[p[:, 1]] - t[p[:, 0]] for t, p in zip(struck, found, strict=True)])
    assert late.median().item() == pytest.approx(lag, abs=1e-6)
    counts = torch.tensor([len(times) for times in struck])
    strict = torch.tensor([len(metrics.pairs(times, times + lag, 0.05)) for times in struck])
    score = metrics.f1(strict, counts, counts).value
    assert (score == 1) == (abs(lag) < 0.05) and (score < 0.2 or score == 1)


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    found = metrics.f1(torch.tensor([2, 0, 1]), torch.tensor([2, 1, 1]), torch.tensor([4, 1, 1]))
    precision, recall = 3 / 6, 3 / 4
    assert found.value == pytest.approx(2 * precision * recall / (precision + recall))
    assert found.low < found.value < found.high
    with pytest.raises(ValueError, match="no events"):
        metrics.f1(torch.zeros(3), torch.zeros(3), torch.zeros(3))


@pytest.mark.parametrize("lag", [-0.25, 0.0, 0.125])
def test_a_known_lag_of_a_hum_comes_back(lag):
    seconds, rate = scene.frame_times(33), 64
    when = torch.arange(33 * 8) / rate

    def wave(at: torch.Tensor) -> torch.Tensor:
        return torch.sin(2 * math.pi * 0.9 * at + 1).double() + 0.3 * torch.sin(9 * at)

    found = metrics.swell(wave(seconds), seconds, 0.2 + 3 * wave(when - lag), rate)
    assert found.lag == pytest.approx(lag, abs=1.1 / rate)
    assert (found.correlation > 0.99) == (lag == 0)
    still = metrics.swell(torch.ones(33), seconds, wave(when), rate)
    assert still.correlation == 0, "what does not change goes with nothing"
