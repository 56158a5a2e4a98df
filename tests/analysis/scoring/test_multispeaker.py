"""Errors of several speakers against a search over all assignments."""

from itertools import permutations, product

import pytest

from espnet_plugins.analysis.scoring.errors import count_errors
from espnet_plugins.analysis.scoring.multispeaker import count_multispeaker_errors

CASES = [
    (["a b c", "d e"], ["d e", "a x c"]),
    (["a b c", "d e"], ["a b c d e", ""]),
    (["one two", "three four five"], ["three five", "one one two"]),
    (["one two three", "four"], ["one two three four"]),
    (["one", "two", "three"], ["three two", "one", ""]),
]


def errors(reference, hypothesis):
    return count_errors(reference, hypothesis)[0].errors if reference else len(hypothesis.split())


def best(assignments):
    return min(sum(errors(r, h) for r, h in pairs) for pairs in assignments)


@pytest.mark.parametrize(("references", "hypotheses"), CASES)
def test_each_speaker_in_one_channel(references, hypotheses):
    pytest.importorskip("meeteval")
    padded = [*hypotheses, *[""] * (len(references) - len(hypotheses))]
    expected = best(zip(references, order, strict=True) for order in permutations(padded))
    found = count_multispeaker_errors(references, hypotheses)
    assert found.errors == expected
    assert found.reference == sum(len(r.split()) for r in references)


@pytest.mark.parametrize(("references", "hypotheses"), CASES)
def test_each_utterance_in_its_best_channel(references, hypotheses):
    pytest.importorskip("meeteval")
    channels = range(len(hypotheses))
    expected = best(
        [
            (" ".join(r for r, c in zip(references, choice, strict=True) if c == channel), hypotheses[channel])
            for channel in channels
        ]
        for choice in product(channels, repeat=len(references))
    )
    assert count_multispeaker_errors(references, hypotheses, kind="orc").errors == expected


def test_wrong_calls():
    with pytest.raises(ValueError, match="unknown kind 'wer': choose from cp, orc"):
        count_multispeaker_errors(["a"], ["a"], kind="wer")
    with pytest.raises(ValueError, match="nobody said anything"):
        count_multispeaker_errors(["", " "], ["a", ""])
