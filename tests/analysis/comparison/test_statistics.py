"""Bootstrap intervals against scipy, exact enumeration, and their coverage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats

from espnet_plugins.analysis.comparison.statistics import (
    bootstrap_difference,
    bootstrap_rate,
    mean_and_deviation,
    stack_errors,
)
from espnet_plugins.analysis.scoring.scores import ScoreError, SetScore


@pytest.fixture
def counts():
    """Correlated errors of two systems on 200 utterances."""
    generator = np.random.default_rng(3)
    lengths = generator.integers(3, 8, size=200)
    difficulty = generator.random(200)
    first = generator.binomial(lengths, 0.4 * difficulty)[None]
    second = generator.binomial(lengths, 0.3 * difficulty)[None]
    return first, second, lengths


def test_interval_agrees_with_scipy(counts):
    first, second, lengths = counts
    mine = bootstrap_difference(first, second, lengths, resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (first[0], second[0], lengths),
        lambda a, b, n, axis: 100 * (b.sum(axis=axis) - a.sum(axis=axis)) / n.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    assert mine.low == pytest.approx(theirs.confidence_interval.low, abs=0.15)
    assert mine.high == pytest.approx(theirs.confidence_interval.high, abs=0.15)
    assert mine.value == pytest.approx(100 * (second.sum() - first.sum()) / lengths.sum())


@pytest.mark.parametrize("scale", [100_000, 0.1])
def test_sums_of_any_size_are_exact(counts, scale):
    """Counts beyond what the smaller type of the sums holds, and errors that are no counts."""
    plain, scaled = (bootstrap_difference(*(factor * values for values in counts)) for factor in (1, scale))
    for name in ("value", "low", "high", "probability_below"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name), rel=1e-9)


def test_probability_agrees_with_all_resamples():
    """Three utterances and two seeds have 27 x 4 equally likely resamples for each system's seeds."""
    baseline, system = np.array([[1, 2, 0], [2, 2, 1]]), np.array([[1, 1, 1], [0, 3, 0]])
    lengths = np.array([2, 4, 3])
    below, count = 0.0, 0
    for draw in itertools.product(range(3), repeat=3):
        for a, b in itertools.product(itertools.product(range(2), repeat=2), repeat=2):
            rate_a = sum(baseline[s][list(draw)].sum() for s in a)
            rate_b = sum(system[s][list(draw)].sum() for s in b)
            below += (rate_b < rate_a) + 0.5 * (rate_b == rate_a)
            count += 1
    mine = bootstrap_difference(baseline, system, lengths, resamples=40_000)
    assert mine.probability_below == pytest.approx(below / count, abs=0.01)


def test_pairing_the_utterances_narrows_the_interval(counts):
    first, second, lengths = counts
    paired = bootstrap_difference(first, second, lengths)
    shuffled = bootstrap_difference(first, np.random.default_rng(0).permutation(second, axis=1), lengths)
    assert paired.high - paired.low < 0.95 * (shuffled.high - shuffled.low)


def test_seeds_widen_the_interval_unless_paired():
    generator = np.random.default_rng(0)
    lengths = np.full(400, 5)
    base = generator.binomial(5, 0.3, size=(1, 400))
    shifts = np.array([[0], [1], [2]])
    first, second = base + shifts, base + shifts + 1
    independent = bootstrap_difference(first, second, lengths)
    paired = bootstrap_difference(first, second, lengths, pair_seeds=True)
    assert independent.value == pytest.approx(20)
    assert (paired.low, paired.high) == (pytest.approx(20), pytest.approx(20))
    assert independent.high - independent.low > 20


def test_coverage_of_a_rate():
    """About 95 of 100 intervals contain the rate that the errors were drawn with."""
    generator = np.random.default_rng(5)
    lengths = np.full(150, 4)
    hits = 0
    for trial in range(200):
        errors = generator.binomial(lengths, 0.25)[None]
        interval = bootstrap_rate(errors, lengths, resamples=400, seed=trial)
        hits += interval.low <= 25 <= interval.high
    assert 178 <= hits <= 199


def test_equal_systems_are_not_told_apart(counts):
    first, _, lengths = counts
    interval = bootstrap_difference(first, first, lengths)
    assert (interval.value, interval.low, interval.high, interval.probability_below) == (0, 0, 0, 0.5)
    assert not interval.excludes_zero


def test_same_seed_same_interval(counts):
    first, second, lengths = counts
    assert bootstrap_difference(first, second, lengths) == bootstrap_difference(first, second, lengths)
    assert bootstrap_difference(first, second, lengths, seed=1) != bootstrap_difference(first, second, lengths)


def test_shapes_that_do_not_fit_are_refused(counts):
    first, second, lengths = counts
    with pytest.raises(ValueError, match="do not fit"):
        bootstrap_difference(first, second[:, :5], lengths)
    with pytest.raises(ValueError, match="cannot pair 1 with 2 seeds"):
        bootstrap_difference(first, np.vstack([second, second]), lengths, pair_seeds=True)


def test_stacking_needs_the_same_utterances(scores):
    errors, lengths = stack_errors([scores[f"ssl_mse_joint_seed{n}"]["test_seen"] for n in (0, 1)])
    assert errors.shape == (2, 60)
    first = scores["ssl_mse_joint_seed0"]["test_seen"]
    assert errors[0].sum() == first.total("words").errors
    assert lengths.sum() == first.total("words").reference
    fewer = SetScore("se", "test_seen", dict(list(first.utterances.items())[1:]))
    with pytest.raises(ScoreError, match="differ in the utterances"):
        stack_errors([first, fewer])


def test_deviation_over_seeds():
    assert mean_and_deviation([1.0, 2.0, 3.0]) == (2.0, 1.0)
