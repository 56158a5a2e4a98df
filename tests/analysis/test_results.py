"""Tables say what the scores say."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from espnet_plugins.analysis.curves import Curve
from espnet_plugins.analysis.plots import plot_curves
from espnet_plugins.analysis.results import (
    compare,
    comparison_table,
    condition_table,
    convergence_table,
    render_results,
)
from espnet_plugins.analysis.scores import SetScore
from espnet_plugins.analysis.tables import error_table, mean_cell, number, quality_table, word_error_summary


@pytest.fixture
def curves():
    updates, seconds = np.array([0.0, 50, 100]), np.array([0.0, 20, 40])
    return {
        "ssl_mse_joint": Curve(updates, np.array([[50.0, 40, 20], [50, 44, 24]]), seconds),
        "ssl_soft_dtw_joint": Curve(updates, np.array([[50.0, 20, 18]]), seconds),
    }


def test_summary_averages_over_seeds(scores):
    table = word_error_summary(scores)
    assert table.header == ["system", "test_seen", "test_unseen"]
    assert [row[0].split()[0] for row in table.rows] == [
        "clean",
        "noisy,",
        "SE",
        "ssl_mse_joint",
        "ssl_soft_dtw_joint",
    ]
    rates = [scores[f"ssl_mse_joint_seed{n}"]["test_seen"].total("words").rate for n in (0, 1)]
    assert table.rows[3][1] == f"{np.mean(rates):.1f} ± {np.std(rates, ddof=1):.1f}"
    assert table.rows[1][1] == f"{scores['noisy']['test_seen'].total('words').rate:.1f}"


def test_error_table_adds_up(scores):
    table = error_table(scores["noisy"], "words")
    for row in table.rows:
        score = scores["noisy"][row[0]]
        total = score.total("words")
        assert [int(cell) for cell in row[1:3]] == [60, total.reference]
        corr, sub, dele, ins, err, serr = map(float, row[3:])
        assert corr + sub + dele == pytest.approx(100, abs=0.2)
        assert sub + dele + ins == pytest.approx(err, abs=0.2)
        assert serr == pytest.approx(100 * score.sentence_errors / 60, abs=0.05)


def test_conditions_partition_the_words(scores):
    """The rates of the conditions, weighted by their words, give the rate of the set."""
    score = scores["noisy"]["test_seen"]
    for by in ("noise", "SNR", "speaker"):
        table = condition_table(scores, "test_seen", by=by)
        row = next(row for row in table.rows if row[0].startswith("noisy"))
        errors = words = 0
        for name, cell in zip(table.header[1:], row[1:], strict=True):
            utts = [u for u in score.utterances.values() if _in(u, name)]
            count = sum(u.words.reference for u in utts)
            errors += float(cell) * count / 100
            words += count
        assert words == score.total("words").reference
        assert errors == pytest.approx(score.total("words").errors, rel=0.01)


def _in(utterance, name):
    parts = (*utterance.condition.rpartition("_")[::2], utterance.speaker)
    return name.removesuffix(" dB") in parts


def test_levels_sort_as_numbers(scores):
    utterances = {}
    levels = ("12.5", "-5", "2.5")
    for index, (utt, fields) in enumerate(scores["noisy"]["test_seen"].utterances.items()):
        utterances[utt] = dataclasses.replace(fields, condition=f"hum_{levels[index % 3]}")
    one = {"noisy": {"test": SetScore("noisy", "test", utterances)}}
    assert condition_table(one, "test", by="SNR").header[1:] == ["-5 dB", "2.5 dB", "12.5 dB"]


def test_comparison_is_system_minus_baseline(scores):
    interval = compare(scores, "ssl_mse_joint", "ssl_soft_dtw_joint", "test_seen")
    rates = {
        name: np.mean([scores[f"{name}_seed{n}"]["test_seen"].total("words").rate for n in (0, 1)])
        for name in ("ssl_mse_joint", "ssl_soft_dtw_joint")
    }
    assert interval.value == pytest.approx(rates["ssl_soft_dtw_joint"] - rates["ssl_mse_joint"])
    assert interval.low <= interval.value <= interval.high < 0
    table = comparison_table(scores)
    assert table.rows[-1][:2] == ["ssl_mse_joint", "ssl_soft_dtw_joint"]
    assert table.rows[-1][2].startswith(f"**{interval.value:+.1f}** [")


def test_convergence_measures(curves):
    table = convergence_table(curves, "valid_wer_ctc")
    assert table.header[2] == "mean development WER (%) over updates 0 to 100"
    first, second = table.rows
    assert first[1:5] == ["2", "39.0 ± 2.1", "50.0 ± 0.0", "22.0 ± 2.8"]
    assert second[1:5] == ["1", "27.0", "50.0", "18.0"]
    # Half-way from 50 to 22, and 22 itself.
    assert table.header[5:] == ["updates to 36.0", "seconds", "updates to 22.0", "seconds"]
    assert first[5:] == ["65", "26", "100", "40"]
    assert second[5:] == ["23", "9", "47", "19"]


def test_quality_counts_what_was_measured(scores):
    score = scores["se"]["test_seen"]
    utterances = dict(score.utterances)
    ids = list(utterances)[:3]
    for utt, pesq in zip(ids[:2], (2.0, 3.0), strict=True):
        quality = {"stoi": 90.0, "estoi": 80.0, "sdr": 10.0, "si_sdr": math.inf, "pesq": pesq}
        utterances[utt] = dataclasses.replace(utterances[utt], quality=quality)
    measured = SetScore("se", "test_seen", utterances, {ids[2]: "the estimate is silent"})
    table = quality_table({"clean": scores["clean"], "se": {"test_seen": measured}}, "test_seen")
    assert table.rows == [["SE front-end, not fine-tuned", "90.0", "80.0", "10.0", "inf", "2.50", "2 of 3"]]


def test_same_scores_same_text(scores, curves):
    arguments = {"measure": "valid_wer_ctc", "title": "T", "environment": {"date": "today"}}
    text = render_results(scores, curves, **arguments)
    assert text == render_results(scores, curves, **arguments)
    assert all(f"\n## {system}\n" in text for system in scores)
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")
    without = render_results(scores, {}, measure=None, title="T", environment={})
    assert "Convergence" not in without


def test_figure_has_one_line_for_each_objective_and_a_band_for_several_seeds(curves):
    figure = plot_curves(curves, "valid_wer_ctc")
    axes = figure.axes[0]
    assert [line.get_label() for line in axes.lines] == ["ssl_mse_joint (2 seeds)", "ssl_soft_dtw_joint"]
    assert axes.lines[0].get_ydata().tolist() == [50, 42, 22]
    assert len(axes.collections) == 1
    assert axes.get_ylabel() == "Development WER (%)"


@pytest.mark.parametrize(("value", "text"), [(math.nan, "-"), (math.inf, "inf"), (12.345, "12.3")])
def test_numbers(value, text):
    assert number(value) == text
    assert mean_cell([value]) == text
