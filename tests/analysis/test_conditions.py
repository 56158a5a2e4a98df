"""Error rates by condition: every word belongs to one condition."""

from __future__ import annotations

import dataclasses

import pytest

from espnet_plugins.analysis.conditions import GROUPINGS, condition_table
from espnet_plugins.analysis.scores import SetScore


def test_conditions_partition_the_words(scores):
    """The rates of the conditions, weighted by their words, give the rate of the set."""
    score = scores["noisy"]["test_seen"]
    for by in GROUPINGS:
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
