"""Counts by speaker add up, and every error stands in the list."""

from __future__ import annotations

from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.listing import errors_text, result_text
from espnet_plugins.analysis.scoring.scores import SetScore

SAID = {"u1": "MR EDISON SAID", "u2": "ONE TWO", "u3": "EDISON"}
HEARD = {"u1": "MR ADDISON SAID SO", "u2": "ONE", "u3": "ADDISON"}
SCORE = SetScore(
    "noisy", "test", score_transcripts(SAID, HEARD, conditions={}, speakers={"u1": "a", "u2": "b", "u3": "a"})
)


def test_counts_by_speaker_and_in_sum():
    rows = [line.replace("|", " ").split() for line in result_text(SCORE).splitlines()[2:]]
    assert rows == [
        ["a", "2", "4", "50.0", "50.0", "0.0", "25.0", "75.0", "100.0"],
        ["b", "1", "2", "50.0", "0.0", "50.0", "0.0", "50.0", "100.0"],
        ["Sum/Avg", "3", "6", "50.0", "33.3", "16.7", "16.7", "66.7", "100.0"],
    ]


def test_the_first_line_says_what_was_scored():
    title, header = result_text(SCORE, preset="smoke").splitlines()[:2]
    assert title == "noisy on test, preset smoke"
    assert header.startswith("| SPKR")
    assert result_text(SCORE).splitlines()[0] == "noisy on test"


def test_every_error_is_listed_with_its_count():
    text = errors_text(SCORE)
    assert "Confusions: 2\n     2  (EDISON->ADDISON)\n" in text
    assert "Insertions: 1\n     1  (->SO)\n" in text
    assert "Deletions: 1\n     1  (TWO->)\n" in text
    assert "u1\t66.7\tMR (EDISON->ADDISON) SAID (->SO)\n" in text
