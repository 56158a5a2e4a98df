"""Tables say what the scores say."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from espnet_plugins.analysis.comparison.tables import error_table, mean_cell, number, quality_table, word_error_summary
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.html_report import render_report
from espnet_plugins.analysis.report.results import render_results
from espnet_plugins.analysis.scoring.scores import SetScore


def test_summary_averages_over_seeds(scores):
    table = word_error_summary(scores)
    assert table.header == ["system", "test_seen", "test_unseen"]
    assert [row[0].split()[0] for row in table.rows] == [
        "clean",
        "noisy,",
        "SE",
        "SSL-MSE",
        "SSL-SoftDTW",
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


def test_quality_is_that_of_the_seeds_that_were_measured(scores):
    first, second = (scores[f"ssl_mse_joint_seed{seed}"]["test_seen"] for seed in (0, 1))
    utterances = dict(first.utterances)
    utt = next(iter(utterances))
    quality = {"stoi": 90.0, "estoi": 80.0, "sdr": 10.0, "si_sdr": 9.0, "pesq": 2.0}
    utterances[utt] = dataclasses.replace(utterances[utt], quality=quality)
    measured = SetScore(first.system, "test_seen", utterances)
    table = quality_table({s.system: {"test_seen": s} for s in (second, measured)}, "test_seen")
    assert table.rows == [["SSL-MSE + ASR loss", "90.0", "80.0", "10.0", "9.0", "2.00", "1 of 1"]]


def test_a_system_of_which_nothing_could_be_measured_keeps_its_row(scores):
    reasons = dict.fromkeys(scores["se"]["test_seen"].utterances, "the estimate is silent")
    nothing = dataclasses.replace(scores["se"]["test_seen"], unscorable=reasons)
    table = quality_table({"clean": scores["clean"], "se": {"test_seen": nothing}}, "test_seen")
    assert table.rows == [["SE front-end, not fine-tuned", "-", "-", "-", "-", "-", f"0 of {len(reasons)}"]]


def test_same_content_same_text(scores, curves, costs):
    arguments = {"curves": curves, "measure": "valid_wer_ctc", "costs": costs}
    text, again = (
        render_results(Content(title="T", scores=scores, environment={"date": "today"}, **arguments)) for _ in range(2)
    )
    assert text == again
    assert all(f"\n## {system}\n" in text for system in scores)
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")
    without = render_results(Content(title="T", scores=scores, environment={}))
    assert "Convergence" not in without
    assert "Cost" not in without


def test_losses_of_different_objectives_are_not_compared(scores, curves):
    content = Content(title="T", scores=scores, environment={}, curves=curves, measure="valid_loss")
    for text in (render_results(content), render_report(content)):
        assert "only their shapes compare" in text
        assert "updates to" not in text


@pytest.mark.parametrize(("value", "text"), [(math.nan, "-"), (math.inf, "inf"), (12.345, "12.3")])
def test_numbers(value, text):
    assert number(value) == text
    assert mean_cell([value]) == text
