"""Word error rates by noise type, SNR and speaker."""

from __future__ import annotations

import numpy as np

from espnet_plugins.analysis.scores import Scores, SetScore, group_seeds
from espnet_plugins.analysis.tables import Table, label, mean_cell

GROUPINGS = ("noise", "SNR", "speaker")


def condition(score: SetScore, utterance: str, *, by: str) -> str:
    """The noise type, SNR or speaker of an utterance; `unknown` where the data did not say.

    Args:
        score: The score that holds the utterance.
        utterance: Its id.
        by: One of GROUPINGS.

    Example:
        >>> from espnet_plugins.analysis.scores import ErrorCounts, UtteranceScore
        >>> one = UtteranceScore("a", "a", ErrorCounts(1), ErrorCounts(1), condition="street_music_2.5")
        >>> score = SetScore("noisy", "test", {"u": one})
        >>> condition(score, "u", by="noise"), condition(score, "u", by="SNR")
        ('street_music', '2.5 dB')
    """
    fields = score.utterances[utterance]
    if by == "speaker":
        return fields.speaker or "unknown"
    noise, _, level = fields.condition.rpartition("_")
    if not noise:
        # One word alone: a condition without a level, such as clean input.
        return fields.condition or "unknown"
    return noise if by == "noise" else f"{level} dB"


def rates_by_condition(scores: Scores, dataset: str, *, by: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """Word error rate of every configuration in every condition.

    Args:
        scores: System -> test set -> score.
        dataset: The test set.
        by: One of GROUPINGS.

    Returns:
        The conditions, levels in order of their value; and configuration -> rates in per cent, shape
        (S, conditions), one row for each seed.
    """
    first = scores[next(iter(scores))][dataset]
    names = sorted({condition(first, utt, by=by) for utt in first.utterances}, key=_natural)
    rates = {}
    for configuration, seeds in group_seeds(scores).items():
        errors, words = np.zeros((2, len(seeds), len(names)))
        for row, run in enumerate(scores[seed][dataset] for seed in seeds):
            for utt, fields in run.utterances.items():
                column = names.index(condition(run, utt, by=by))
                errors[row, column] += fields.words.errors
                words[row, column] += fields.words.reference
        rates[configuration] = 100.0 * errors / words
    return names, rates


def condition_table(scores: Scores, dataset: str, *, by: str) -> Table:
    """Word error rates by condition: one row for each configuration, mean over seeds.

    Args:
        scores: System -> test set -> score.
        dataset: The test set.
        by: One of GROUPINGS.
    """
    names, rates = rates_by_condition(scores, dataset, by=by)
    rows = [
        [label(configuration, len(values)), *(mean_cell(column) for column in values.T.tolist())]
        for configuration, values in rates.items()
    ]
    return Table([f"WER (%) by {by}", *names], rows)


def _natural(name: str) -> tuple[float, str]:
    try:
        return float(name.removesuffix(" dB")), ""
    except ValueError:
        return float("inf"), name
