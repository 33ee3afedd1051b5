"""Numbers and their intervals: against published values, by simulation, and at the edges."""

import math

import pytest
import torch

from minivid import metrics


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
