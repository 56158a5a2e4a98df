"""What the report says in words is what its numbers say."""

import pytest

from espnet_plugins.analysis.comparison.comparisons import NOISY_SETS, compare, noisy_sets, pool
from espnet_plugins.analysis.comparison.cost import Cost
from espnet_plugins.analysis.comparison.statistics import Interval
from espnet_plugins.analysis.report.answer import answer, convergence_answer, cost_answer, verdict

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
    found = answer(scores, "ssl_soft_dtw_joint")
    assert found.question == "Does position-invariant fine-tuning beat the other fine-tuned systems?"
    assert found.verdict == "Yes"
    pooled = pool(scores, ["test_seen", "test_unseen"], called=NOISY_SETS)
    own, other = (
        sum(pooled[f"{name}_seed{n}"][NOISY_SETS].total("words").rate for n in (0, 1)) / 2
        for name in ("ssl_soft_dtw_joint", "ssl_mse_joint")
    )
    assert f"makes {own:.1f} % word errors on test_seen, test_unseen" in found.sentence
    assert "2 training runs" in found.sentence
    difference = compare(pooled, "ssl_mse_joint", "ssl_soft_dtw_joint", NOISY_SETS)
    shown = f"{difference.value:+.1f} points, 95 % interval {difference.low:+.1f} to {difference.high:+.1f}."
    assert found.sentence.endswith(
        f"the best of the other fine-tuned systems, SSL-MSE + ASR loss, {other:.1f} %: {shown}"
    )
    assert answer(scores, "ssl_mse_joint").verdict == "No"


def test_the_verdict_is_about_the_baselines_where_there_are_any(scores):
    better, worse = "ssl_soft_dtw_joint_seed0", "ssl_mse_joint_seed0"
    names = {"clean": "clean", "noisy": "noisy", "mimic_joint": worse, "si_snr_joint": "se"}
    ours = {"ssl_mse_joint": better, "ssl_soft_dtw_joint": worse}
    given = {name: scores[of] for name, of in {**names, **ours}.items()}
    found = answer(given, "ssl_soft_dtw_joint")
    assert found.question == "Does position-invariant fine-tuning beat the baselines?"
    # Worse than SSL-MSE, level with one baseline and better than the other.
    assert found.verdict == "Better than some, not shown for all"
    assert "the best of the baselines, mimic + ASR loss," in found.sentence
    assert "Of the others SSL-MSE + ASR loss is the lowest, " in found.sentence
    pooled = pool(given, noisy_sets(given), called=NOISY_SETS)
    difference = compare(pooled, "ssl_mse_joint", "ssl_soft_dtw_joint", NOISY_SETS)
    assert f"{difference.value:+.1f} points, 95 % interval {difference.low:+.1f} to" in found.sentence.split(" Of ")[1]
    baseline = answer({name: scores[of] for name, of in names.items()}, "mimic_joint")
    assert baseline.question == "Does mimic + ASR loss beat the other fine-tuned systems?"
    assert "Of the others" not in baseline.sentence


def test_findings_say_what_the_interval_says(scores):
    sentences = answer(scores, "ssl_soft_dtw_joint").findings
    assert len(sentences) == 3
    assert all("lower" in sentence and "relative" in sentence for sentence in sentences)
    pooled = pool(scores, noisy_sets(scores), called=NOISY_SETS)
    interval = compare(pooled, "noisy", "ssl_soft_dtw_joint", NOISY_SETS)
    assert [sentence.split(":")[0] for sentence in sentences] == [
        "Against SSL-MSE + ASR loss",
        "Against noisy, no front-end",
        "Against SE front-end, not fine-tuned",
    ]
    assert f"WER is {abs(interval.value):.1f} points" in sentences[1]
    assert any("higher" in sentence for sentence in answer(scores, "ssl_mse_joint").findings)
    duplicate = {**scores, "duplicate_seed0": scores["se"], "duplicate_seed1": scores["se"]}
    assert "no difference is shown: +0.0 points" in answer(duplicate, "duplicate").findings[-1]


def test_one_seed_is_said_to_be_one(scores):
    single = {name: sets for name, sets in scores.items() if not name.endswith("seed1")}
    assert "1 training run;" in answer(single, "ssl_soft_dtw_joint").sentence
    assert "several seeds are needed" in answer(single, "ssl_soft_dtw_joint").sentence
    alone = {name: sets for name, sets in single.items() if "mse" not in name}
    assert answer(alone, "ssl_soft_dtw_joint").verdict == "Nothing to compare with"


def test_convergence(curves):
    # Areas: 50, 40, 20 and 50, 44, 24 against 50, 20, 18, at updates 0, 50, 100.
    expected = "its mean development error is 27.0 %, place 1 of 2; the next is SSL-MSE + ASR loss with 39.0 %."
    assert expected in convergence_answer(curves, "ssl_soft_dtw_joint")
    assert "place 2 of 2; the lowest is SSL-SoftDTW + ASR loss with" in convergence_answer(curves, "ssl_mse_joint")


def test_cost_is_the_mean_over_seeds_beside_the_others():
    costs = {
        "noisy": Cost(decoding_factor=0.001),
        "ssl_soft_dtw_joint_seed0": Cost(updates=10, training_seconds=1, decoding_factor=0.2),
        "ssl_soft_dtw_joint_seed1": Cost(updates=10, training_seconds=3, decoding_factor=0.4),
        "mimic_joint": Cost(updates=10, training_seconds=1, decoding_factor=0.25),
        "asr_only_joint": Cost(decoding_factor=0.35),
    }
    said = cost_answer(costs, "ssl_soft_dtw_joint")
    assert "takes 200 ms, with the others 100 ms (mimic + ASR loss);" in said
    assert "takes 0.30 s, with the others 0.25 s (mimic + ASR loss) to 0.35 s (ASR loss alone (IRIS))." in said
    assert cost_answer(costs, "asr_only_joint").startswith("Cost: recognizing")
    assert cost_answer({"mimic_joint": costs["mimic_joint"]}, "mimic_joint").startswith("Cost: an update")
    assert cost_answer({}, "mimic_joint") == ""
