"""Numbers and their intervals: against published values, by simulation, and at the edges."""

import math

import pytest
import torch

from minivid.measure import stats


def test_wilson_interval_against_published_values():
    """Newcombe 1998 (Statistics in Medicine 17, table I, method 3)."""
    for right, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = stats.proportion(torch.arange(n) < right)
        assert found.value == pytest.approx(right / n)
        assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = torch.Generator().manual_seed(0)
    covered = []
    for truth in torch.linspace(0.5, 0.99, 50).tolist():
        trials = torch.rand(100, 200, generator=rng) < truth
        covered += [low <= truth <= high for _, low, high in map(stats.proportion, trials)]
    assert 0.94 < sum(covered) / len(covered) < 0.96


def test_all_right_is_not_certainty():
    perfect = stats.proportion(torch.ones(100, dtype=torch.bool))
    assert perfect.value == perfect.high == 1 and perfect.low == pytest.approx(0.963, abs=1e-3)
    with pytest.raises(ValueError, match="no trials"):
        stats.proportion(torch.ones(0))


def test_chi_square_against_its_table():
    """Quantiles of the chi-square distribution, to the digits printed in tables."""
    for statistic, freedom, chance in (
        (16.919, 9, 0.05),
        (21.666, 9, 0.01),
        (3.841, 1, 0.05),
        (18.307, 10, 0.05),
    ):
        assert stats.chance_above(statistic, freedom) == pytest.approx(chance, abs=5e-5)
    assert stats.chance_above(2 * math.log(4), 2) == pytest.approx(0.25)  # exact: e^(-x/2)


def test_fair_labels_give_every_chance_equally_often_and_unfair_ones_do_not():
    rng = torch.Generator().manual_seed(1)
    chances = [stats.balance(torch.randint(10, (500,), generator=rng), 10).value for _ in range(600)]
    for level in (0.1, 0.5, 0.9):
        found = sum(chance < level for chance in chances) / len(chances)
        assert abs(found - level) < 0.06
    loaded = torch.cat([torch.randint(10, (400,), generator=rng), torch.full((100,), 8)])
    assert stats.balance(loaded, 10).value < 1e-6
    with pytest.raises(ValueError, match="at least 50"):
        stats.balance(torch.arange(10), 10)


def test_the_bootstrap_agrees_with_theory_and_repeats():
    values = torch.randn(400, generator=torch.Generator().manual_seed(2))
    found = stats.bootstrap(values)
    half = 1.96 * values.std().item() / 20
    assert found.low == pytest.approx(found.value - half, rel=0.1, abs=0.01)
    assert found.high == pytest.approx(found.value + half, rel=0.1, abs=0.01)
    assert found == stats.bootstrap(values)
    with pytest.raises(ValueError, match="at least two"):
        stats.bootstrap(values[:1])


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    found = stats.f1(torch.tensor([2, 0, 1]), torch.tensor([2, 1, 1]), torch.tensor([4, 1, 1]))
    precision, recall = 3 / 6, 3 / 4
    assert found.value == pytest.approx(2 * precision * recall / (precision + recall))
    assert found.low < found.value < found.high
    with pytest.raises(ValueError, match="no events"):
        stats.f1(torch.zeros(3), torch.zeros(3), torch.zeros(3))


def test_kernel_distance_has_no_bias_and_grows_with_the_gap():
    rng = torch.Generator().manual_seed(0)
    x, y = (torch.randn(40, 8, generator=rng).double() for _ in range(2))
    slow = 0.0  # term by term, as the paper writes it
    for a, b, sign in ((x, x, 1), (y, y, 1), (x, y, -2)):
        k = (a @ b.T / 8 + 1) ** 3
        terms = [k[i, j].item() for i in range(40) for j in range(40) if sign < 0 or i != j]
        slow += sign * sum(terms) / len(terms)
    assert stats.kernel_distance(x, y) == pytest.approx(1000 * slow, rel=1e-9)
    drawn = [stats.kernel_distance(*torch.randn(2, 20, 8, generator=rng).double()) for _ in range(400)]
    mean = sum(drawn) / 400
    assert abs(mean) < 3 * torch.tensor(drawn).std().item() / 20  # 0 on average, even of 20 clips
    gaps = [stats.kernel_distance(x, y + shift) for shift in (0.5, 1.0, 2.0)]
    assert 0 < gaps[0] < gaps[1] < gaps[2]
    with pytest.raises(ValueError, match="features of"):
        stats.kernel_distance(x[:1], y)


def test_things_that_share_a_clip_are_resampled_with_it():
    """Ten things in each of 20 clips, all right or all wrong: an interval as wide as that of 20 clips."""
    right = 10 * (torch.arange(20) % 2)
    found = stats.ratio(right, torch.full((20,), 10))
    assert found.value == 0.5 and found.high - found.low > 0.35
    alone = stats.proportion(torch.arange(200) % 2 == 0)
    assert alone.high - alone.low < 0.15
    values = torch.tensor([[1.0, math.nan], [2.0, 3.0], [4.0, math.nan]])
    assert stats.median(values).value == 2.0  # the lower one of 1, 2, 3, 4
    with pytest.raises(ValueError, match="more pairs than events"):
        stats.f1(torch.tensor([3]), torch.tensor([2]), torch.tensor([3]))


def test_frechet_distance_of_known_gaussians():
    """For N(m, s²) in one dimension it is (m - m')² + (s - s')², and dimensions add up."""
    x = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T  # exactly N(0, 1)
    y = x * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([0.5, 0.0, 0.0])
    assert stats.frechet(x, y) == pytest.approx(0.25 + 1 + 4)
    assert stats.frechet(x, x) == pytest.approx(0, abs=1e-9)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turned = stats.frechet(x @ turn.double(), y @ turn.double())
    assert turned == pytest.approx(stats.frechet(x, y))
    halves = [stats.frechet(x[:n], x[n : 2 * n]) for n in (50, 500, 5000)]
    assert halves[0] > halves[1] > halves[2] > 0
    with pytest.raises(ValueError, match="more samples than features"):
        stats.frechet(x[:3], x)


def test_the_jackknife_agrees_with_theory_on_a_mean_and_keeps_to_its_own_samples():
    x = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = stats.jackknife(lambda values: values.mean().item(), x)
    half = 1.96 * x.std().item() / 20
    assert found.value == pytest.approx(x.mean().item())
    assert found.high - found.value == pytest.approx(half, rel=0.35)
    assert found.high - found.value == pytest.approx(found.value - found.low)
    gap = stats.jackknife(lambda a, b: (a.mean() - b.mean()).item(), x, x + 1)
    assert gap == pytest.approx((-1, -1, -1))
    with pytest.raises(ValueError, match="at least"):
        stats.jackknife(lambda values: 0.0, x[:5])


def test_a_resample_without_anything_in_it_does_not_spoil_the_interval():
    values = torch.full((6, 2), torch.nan)
    values[0, 0], values[1] = 1.0, torch.tensor([2.0, 3.0])
    found = stats.median(values)
    assert all(math.isfinite(number) for number in found) and found.low <= found.value <= found.high


def test_a_ratio_of_fractions_is_a_ratio():
    assert stats.ratio(torch.tensor([0.1, 0.1]), torch.tensor([0.25, 0.25])).value == pytest.approx(0.4)
