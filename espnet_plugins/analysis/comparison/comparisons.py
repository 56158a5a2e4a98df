"""Differences between systems, and how sure they are."""

from __future__ import annotations

from collections.abc import Iterable

from espnet_plugins.analysis.comparison.statistics import (
    Interval,
    bootstrap_difference,
    bootstrap_rate,
    stack_errors,
)
from espnet_plugins.analysis.comparison.tables import Table, datasets
from espnet_plugins.analysis.scoring.names import REFERENCE_SYSTEMS, label, without_front_end
from espnet_plugins.analysis.scoring.scores import Scores, SetScore, group_seeds

NOISY_SETS = "noisy sets together"


def noisy_sets(scores: Scores) -> list[str]:
    """The test sets that hold noise: those on which the input is recognized differently from clean speech.

    Without both `clean` and `noisy` among the systems, all of them.
    """
    names = datasets(scores)
    if not {"clean", "noisy"} <= scores.keys():
        return names

    def heard(system: str, dataset: str) -> dict[str, str | None]:
        return {utt: s.hypothesis for utt, s in scores[system][dataset].utterances.items()}

    return [name for name in names if heard("clean", name) != heard("noisy", name)]


def pool(scores: Scores, names: Iterable[str], *, called: str) -> dict[str, dict[str, SetScore]]:
    """Join test sets into one.

    An utterance that stands in several, with other noises, stays several: an interval takes them for independent.

    Args:
        scores: System -> test set -> score.
        names: The sets to join.
        called: Name of the joint set.

    Returns:
        The same systems on the joint set alone.
    """
    names = list(names)
    joined = {}
    for system, sets in scores.items():
        utterances = {f"{name}/{utt}": s for name in names for utt, s in sets[name].utterances.items()}
        reasons = {f"{name}/{utt}": why for name in names for utt, why in sets[name].unscorable.items()}
        joined[system] = {called: SetScore(system, called, utterances, reasons)}
    return joined


def with_pooled(scores: Scores) -> Scores:
    """The scores with one more set: the noisy ones together, where there are several."""
    names = noisy_sets(scores)
    if len(names) < 2:
        return scores
    joined = pool(scores, names, called=NOISY_SETS)
    return {system: {**sets, **joined[system]} for system, sets in scores.items()}


def compare(scores: Scores, baseline: str, system: str, dataset: str) -> Interval:
    """Difference in word error rate between two configurations on one test set.

    Args:
        scores: System -> test set -> score.
        baseline: A configuration, i.e. a system's name without its seed.
        system: Another one.
        dataset: The test set.

    Returns:
        WER of `system` minus WER of `baseline` in per cent absolute, with its bootstrap interval.
    """
    groups = group_seeds(scores)
    first, lengths = stack_errors([scores[s][dataset] for s in groups[baseline]])
    second, _ = stack_errors([scores[s][dataset] for s in groups[system]])
    return bootstrap_difference(first, second, lengths)


def compared_pairs(configurations: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs worth an interval: every fine-tuned system against what it started from, and every two fine-tuned
    systems against each other.

    Example:
        >>> from espnet_plugins.analysis.scoring.names import ObjectiveName, declare
        >>> compared_pairs(["clean", "noisy", "se", "a", "b"])
        [('noisy', 'se'), ('se', 'a'), ('se', 'b'), ('a', 'b')]
        >>> declare({"asr": ObjectiveName("ASR alone", 10, front_end=False)})
        >>> compared_pairs(["noisy", "se", "asr_joint"])
        [('noisy', 'se'), ('noisy', 'asr_joint')]
    """
    names = list(configurations)
    tuned = [name for name in names if name not in REFERENCE_SYSTEMS]
    pairs = [("noisy", "se")] if {"noisy", "se"} <= set(names) else []
    starts = [("noisy" if without_front_end(name) else "se", name) for name in tuned]
    pairs += [(start, name) for start, name in starts if start in names]
    return pairs + [(a, b) for i, a in enumerate(tuned) for b in tuned[i + 1 :]]


def interval_cell(interval: Interval) -> str:
    """Format a difference and its interval; bold where the interval excludes zero.

    Example:
        >>> interval_cell(Interval(-2.0, -3.0, -1.0, 1.0))
        '**-2.0** [-3.0, -1.0]'
    """
    value = f"{interval.value:+.1f}"
    return f"{f'**{value}**' if interval.excludes_zero else value} [{interval.low:+.1f}, {interval.high:+.1f}]"


def comparison_table(scores: Scores) -> Table:
    """Differences in word error rate between configurations, with intervals, by test set."""
    sets = datasets(scores)
    rows = [
        [f"{label(b)} against {label(a)}", *(interval_cell(compare(scores, a, b, dataset)) for dataset in sets)]
        for a, b in compared_pairs(group_seeds(scores))
    ]
    return Table(["WER difference", *sets], rows)


def rate_table(scores: Scores) -> Table:
    """Word error rates with their 95 % intervals: configurations by test sets.

    The lowest of each test set is emphasized, clean speech apart.
    """
    sets, groups = datasets(scores), group_seeds(scores)
    intervals: dict[str, dict[str, Interval]] = {}
    for name, seeds in groups.items():
        stacked = {d: stack_errors([scores[seed][d] for seed in seeds]) for d in sets}
        intervals[name] = {d: bootstrap_rate(*stacked[d]) for d in sets}
    best = {d: min(i[d].value for name, i in intervals.items() if name != "clean") for d in sets}
    rows = []
    for name, row in intervals.items():
        cells = []
        for d, interval in row.items():
            value = f"{interval.value:.1f}"
            value = f"**{value}**" if name != "clean" and interval.value == best[d] else value
            cells.append(f"{value} [{interval.low:.1f}, {interval.high:.1f}]")
        rows.append([label(name, len(groups[name])), *cells])
    return Table(["system", *sets], rows)
