"""Error rates by condition: every word belongs to one condition."""

from __future__ import annotations

import dataclasses

import pytest

from espnet_plugins.analysis.comparison.conditions import GROUPINGS, condition_table
from espnet_plugins.analysis.scoring.scores import SetScore


def test_conditions_partition_the_words(scores):
    """The rates of the conditions, weighted by their words, give the rate of the set."""
    score = scores["noisy"]["test_seen"]
    for by in GROUPINGS:
        table = condition_table(scores, "test_seen", by=by)
        column = next(i for i, name in enumerate(table.header) if name.startswith("noisy"))
        errors = words = 0
        for row in table.rows:
            name, cell = row[0], row[column]
            utts = [u for u in score.utterances.values() if _in(u, name)]
            count = sum(u.words.reference for u in utts)
            errors += float(cell) * count / 100
            words += count
        assert words == score.total("words").reference
        assert errors == pytest.approx(score.total("words").errors, rel=0.01)


def _in(utterance, name):
    parts = (*utterance.condition.rpartition("_")[::2], utterance.speaker)
    return name.replace(" ", "") in parts


def test_levels_sort_as_numbers(scores):
    utterances = {}
    levels = ("12.5", "-5", "0to5", "2.5", "0")
    for index, (utt, fields) in enumerate(scores["noisy"]["test_seen"].utterances.items()):
        utterances[utt] = dataclasses.replace(fields, condition=f"hum_{levels[index % 5]}dB")
    one = {"noisy": {"test": SetScore("noisy", "test", utterances)}}
    assert [row[0] for row in condition_table(one, "test", by="SNR").rows] == [
        "-5 dB",
        "0 dB",
        "0 to 5 dB",
        "2.5 dB",
        "12.5 dB",
    ]
