"""What the report says in words is what its numbers say."""

import pytest

from espnet_plugins.analysis.answer import answer, convergence_answer, verdict
from espnet_plugins.analysis.comparisons import NOISY_SETS, pool
from espnet_plugins.analysis.statistics import Interval

LOWER, LEVEL, HIGHER = Interval(-2, -3, -1, 1.0), Interval(0, -1, 1, 0.5), Interval(2, 1, 3, 0.0)


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        ([LOWER, LOWER], "Yes"),
        ([LOWER, LEVEL], "Better than some, not shown for all"),
        ([LOWER, HIGHER], "Better than some, worse than others"),
        ([LEVEL, LEVEL], "Not shown"),
        ([LEVEL, HIGHER], "No"),
        ([], "Not shown"),
    ],
)
def test_verdict(intervals, said):
    assert verdict({str(index): interval for index, interval in enumerate(intervals)}) == said


def test_the_better_one_is_said_to_be_better_and_the_worse_one_not(scores):
    said, sentence = answer(scores, "ssl_soft_dtw_joint")
    assert said == "Yes"
    pooled = pool(scores, ["test_seen", "test_unseen"], called=NOISY_SETS)
    rates = [pooled[f"ssl_soft_dtw_joint_seed{n}"][NOISY_SETS].total("words").rate for n in (0, 1)]
    assert f"makes {sum(rates) / 2:.1f} % word errors on test_seen, test_unseen" in sentence
    assert "2 training runs" in sentence
    assert "the lowest of the others is SSL-MSE + ASR loss" in sentence
    assert answer(scores, "ssl_mse_joint")[0] == "No"


def test_one_seed_is_said_to_be_one(scores):
    single = {name: sets for name, sets in scores.items() if not name.endswith("seed1")}
    assert "1 training run;" in answer(single, "ssl_soft_dtw_joint")[1]
    assert "several seeds are needed" in answer(single, "ssl_soft_dtw_joint")[1]
    alone = {name: sets for name, sets in single.items() if "mse" not in name}
    assert answer(alone, "ssl_soft_dtw_joint")[0] == "Nothing to compare with"


def test_convergence(curves):
    # Areas: 50, 40, 20 and 50, 44, 24 against 50, 20, 18, at updates 0, 50, 100.
    expected = "its mean development error is 27.0 %, place 1 of 2 (SSL-MSE + ASR loss 39.0)"
    assert expected in convergence_answer(curves, "ssl_soft_dtw_joint")
    assert "place 2 of 2" in convergence_answer(curves, "ssl_mse_joint")
