"""Utterances on which a recognizer falls into a loop: a few of them can decide a word error rate.

A recognizer with a decoder that goes on by itself, such as Whisper's, now and then repeats words until it is stopped,
and one utterance then counts as many errors as dozens of others. They are errors, and stay in every table; whether a
difference rests on them is to be seen beside it.
"""

from __future__ import annotations

from espnet_plugins.analysis.comparison.comparisons import with_pooled
from espnet_plugins.analysis.comparison.tables import Table
from espnet_plugins.analysis.scoring.names import label
from espnet_plugins.analysis.scoring.scores import Scores, SetScore, UtteranceScore, group_seeds

# A short utterance may have a few words too many without a loop.
_MOST_INSERTIONS = 20


def is_loop(utterance: UtteranceScore) -> bool:
    """Whether more words were inserted than were said, and more than twenty.

    Example:
        >>> from espnet_plugins.analysis.scoring.scores import ErrorCounts
        >>> [is_loop(UtteranceScore("", "", ErrorCounts(10, 0, 0, many), ErrorCounts())) for many in (20, 21)]
        [False, True]
    """
    return utterance.words.insertions > max(_MOST_INSERTIONS, utterance.words.reference)


def find_loops(scores: Scores) -> dict[tuple[str, str], list[str]]:
    """Where recognizers loop.

    Args:
        scores: System -> test set -> score.

    Returns:
        (test set, utterance) -> the systems on which it happens, sorted.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for system, by_set in scores.items():
        for dataset, score in by_set.items():
            for utt, utterance in score.utterances.items():
                if is_loop(utterance):
                    found.setdefault((dataset, utt), []).append(system)
    return dict(sorted(found.items()))


def loop_table(scores: Scores) -> Table:
    """The utterances with a loop: how many words were inserted where."""
    rows = []
    for (dataset, utt), systems in find_loops(scores).items():
        inserted = {system: scores[system][dataset].utterances[utt].words.insertions for system in systems}
        many = "; ".join(
            f"{label(name)} {', '.join(str(inserted[seed]) for seed in seeds)}"
            for name, seeds in group_seeds(systems).items()
        )
        rows.append([dataset, utt, many])
    return Table(["test set", "utterance", "words inserted"], rows)


def without_loops(scores: Scores) -> Scores:
    """The scores without every utterance on which any system loops, and the noisy sets together.

    Args:
        scores: System -> test set -> score.

    Returns:
        The same systems on the sets of which something is left.
    """
    left_out = find_loops(scores).keys()

    def kept(score: SetScore) -> SetScore:
        utterances = {utt: one for utt, one in score.utterances.items() if (score.dataset, utt) not in left_out}
        return SetScore(score.system, score.dataset, utterances)

    left = {system: {name: kept(score) for name, score in by_set.items()} for system, by_set in scores.items()}
    left = {system: {n: score for n, score in by_set.items() if score.utterances} for system, by_set in left.items()}
    return with_pooled(left) if all(left.values()) else {}
