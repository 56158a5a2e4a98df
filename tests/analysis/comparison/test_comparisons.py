"""Comparisons between systems."""

from __future__ import annotations

import numpy as np
import pytest

from espnet_plugins.analysis.comparison.comparisons import (
    NOISY_SETS,
    compare,
    comparison_table,
    noisy_sets,
    pool,
    rate_table,
    with_pooled,
)
from espnet_plugins.analysis.scoring.scores import SetScore


def test_comparison_is_system_minus_baseline(scores):
    interval = compare(scores, "ssl_mse_joint", "ssl_soft_dtw_joint", "test_seen")
    rates = {
        name: np.mean([scores[f"{name}_seed{n}"]["test_seen"].total("words").rate for n in (0, 1)])
        for name in ("ssl_mse_joint", "ssl_soft_dtw_joint")
    }
    assert interval.value == pytest.approx(rates["ssl_soft_dtw_joint"] - rates["ssl_mse_joint"])
    assert interval.low <= interval.value <= interval.high < 0
    table = comparison_table(scores)
    assert table.rows[-1][0] == "SSL-SoftDTW + ASR loss against SSL-MSE + ASR loss"
    assert table.rows[-1][1].startswith(f"**{interval.value:+.1f}** [")


@pytest.fixture
def with_clean_set(scores):
    """The scores with a set on which the noisy input is clean speech."""
    clean = scores["clean"]["test_seen"]
    hypotheses = {name: clean if name == "noisy" else sets["test_seen"] for name, sets in scores.items()}
    return {
        name: {**sets, "test_clean": SetScore(name, "test_clean", hypotheses[name].utterances)}
        for name, sets in scores.items()
    }


def test_sets_without_noise_are_recognized_as_such(scores, with_clean_set):
    assert noisy_sets(with_clean_set) == ["test_seen", "test_unseen"]
    without_references = {name: sets for name, sets in with_clean_set.items() if "seed" in name}
    assert "test_clean" in noisy_sets(without_references)


def test_pooling_adds_the_counts_and_keeps_equal_ids_apart(scores):
    joined = pool(scores, ["test_seen", "test_unseen"], called="both")
    for name, sets in scores.items():
        together = joined[name]["both"].total("words")
        assert together == sets["test_seen"].total("words") + sets["test_unseen"].total("words")
    assert list(with_pooled(scores)["se"]) == ["test_seen", "test_unseen", NOISY_SETS]
    single = {name: {"test_seen": sets["test_seen"]} for name, sets in scores.items()}
    assert with_pooled(single) is single


def test_rate_table_marks_the_lowest_but_for_clean_speech(scores):
    table = rate_table(scores)
    for column in range(1, 3):
        marked = [row[0].split()[0] for row in table.rows if "**" in row[column]]
        assert marked == ["SSL-SoftDTW"]
    rate = scores["noisy"]["test_seen"].total("words").rate
    value, low, high = (float(part.strip("[],*")) for part in table.rows[1][1].split())
    assert value == pytest.approx(rate, abs=0.05)
    assert low < rate < high
