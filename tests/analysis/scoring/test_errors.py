"""Error counts against an independent edit distance."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugins.analysis.scoring.errors import align_words, count_errors, score_transcripts

SENTENCE = st.lists(st.sampled_from(["a", "b", "c", "dd"]), min_size=1, max_size=6).map(" ".join)
HYPOTHESIS = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=6).map(" ".join)


def edit_distance(a, b):
    """Fewest substitutions, deletions and insertions, by the recursion itself."""

    @cache
    def distance(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(distance(i - 1, j - 1) + (a[i - 1] != b[j - 1]), distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(a), len(b))


@given(SENTENCE, HYPOTHESIS)
def test_counts_are_a_minimal_alignment(reference, hypothesis):
    words, characters = count_errors(reference, hypothesis)
    for counts, said, heard in (
        (words, reference.split(), hypothesis.split()),
        (characters, list(reference), list(hypothesis)),
    ):
        assert counts.errors == edit_distance(said, heard)
        assert counts.reference == len(said)
        assert counts.correct + counts.substitutions + counts.insertions == len(heard)


@given(SENTENCE, HYPOTHESIS)
def test_alignment_spells_both_transcripts(reference, hypothesis):
    aligned = list(align_words(reference, hypothesis))
    assert [said for _, said, _ in aligned if said] == reference.split()
    assert [heard for _, _, heard in aligned if heard] == hypothesis.split()
    assert sum(kind != "equal" for kind, _, _ in aligned) == count_errors(reference, hypothesis)[0].errors


def test_missing_and_empty_hypotheses_are_deletions_but_not_the_same():
    scores = score_transcripts({"u1": "a b", "u2": "a b c"}, {"u2": ""}, conditions={}, speakers={})
    assert [s.words.deletions for s in scores.values()] == [2, 3]
    assert scores["u1"].hypothesis is None
    assert scores["u2"].hypothesis == ""


def test_order_of_the_input_does_not_matter_and_spaces_do_not_count():
    one = score_transcripts({"b": "x y", "a": "z"}, {"a": "z", "b": "x  y"}, conditions={}, speakers={})
    assert list(one) == ["a", "b"]
    assert one["b"].characters.errors == 0


@pytest.mark.parametrize(
    ("references", "hypotheses", "message"),
    [({"a": "x"}, {"a": "x", "zz": "y"}, "e.g. zz"), ({"a": " "}, {"a": "x"}, "empty, e.g. a")],
)
def test_inconsistent_input_is_refused_by_name(references, hypotheses, message):
    with pytest.raises(ValueError, match=message):
        score_transcripts(references, hypotheses, conditions={}, speakers={})
