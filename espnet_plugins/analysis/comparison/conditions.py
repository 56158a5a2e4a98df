"""Word error rates by noise type, SNR and speaker."""

from __future__ import annotations

import re

import numpy as np

from espnet_plugins.analysis.comparison.tables import Table, mean_cell
from espnet_plugins.analysis.scoring.names import label
from espnet_plugins.analysis.scoring.scores import Scores, SetScore, group_seeds

GROUPINGS = ("noise", "SNR", "speaker")
# E.g. `babble_2.5dB`, or `snr0to5dB` where only the range of the level is known. `street_10` is the name of a noise.
_CONDITION = re.compile(r"^(?:(?P<noise>.+)_|snr)(?P<low>-?\d+(?:\.\d+)?)(?:to(?P<high>-?\d+(?:\.\d+)?))?dB$")


def condition(score: SetScore, utterance: str, *, by: str) -> str:
    """The noise type, SNR or speaker of an utterance; `unknown` where the data did not say.

    Args:
        score: The score that holds the utterance.
        utterance: Its id.
        by: One of GROUPINGS.

    Example:
        >>> from espnet_plugins.analysis.scoring.scores import ErrorCounts, UtteranceScore
        >>> def conditions(name):
        ...     one = UtteranceScore("a", "a", ErrorCounts(1), ErrorCounts(1), condition=name)
        ...     score = SetScore("noisy", "test", {"u": one})
        ...     return condition(score, "u", by="noise"), condition(score, "u", by="SNR")
        >>> conditions("street_music_2.5dB"), conditions("snr-5to0dB"), conditions("street_10")
        (('street_music', '2.5 dB'), ('unknown', '-5 to 0 dB'), ('street_10', 'street_10'))
    """
    fields = score.utterances[utterance]
    if by == "speaker":
        return fields.speaker or "unknown"
    match = _CONDITION.match(fields.condition)
    if match is None:
        return fields.condition or "unknown"
    if by == "noise":
        return match["noise"] or "unknown"
    return f"{match['low']} to {match['high']} dB" if match["high"] else f"{match['low']} dB"


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
    """Word error rates by condition: one row for each, one column for each configuration, mean over seeds.

    Args:
        scores: System -> test set -> score.
        dataset: The test set.
        by: One of GROUPINGS.
    """
    names, rates = rates_by_condition(scores, dataset, by=by)
    header = [f"WER (%) by {by}", *(label(name, len(values)) for name, values in rates.items())]
    columns = [[mean_cell(column) for column in values.T.tolist()] for values in rates.values()]
    return Table(header, [[name, *cells] for name, *cells in zip(names, *columns, strict=True)])


def _natural(name: str) -> tuple[float, float, str]:
    """Sort levels by value, a range behind its lower end; names behind all levels."""
    try:
        ends = [float(end) for end in name.removesuffix(" dB").split(" to ")]
    except ValueError:
        return float("inf"), 0.0, name
    return ends[0], ends[-1], ""
