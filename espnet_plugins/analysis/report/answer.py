"""The answer to a comparison's question, in words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from espnet_plugins.analysis.comparison.comparisons import NOISY_SETS, compare, noisy_sets, pool
from espnet_plugins.analysis.comparison.cost import Cost
from espnet_plugins.analysis.comparison.curves import Curve, mean_height
from espnet_plugins.analysis.comparison.statistics import Interval, bootstrap_rate, mean_and_deviation, stack_errors
from espnet_plugins.analysis.scoring.names import REFERENCE_SYSTEMS, is_baseline, is_subject, label
from espnet_plugins.analysis.scoring.scores import Scores, group_seeds


@dataclasses.dataclass(frozen=True)
class Answer:
    """Whether a configuration recognizes noisy speech better than those it is compared with.

    Args:
        question: What is asked.
        verdict: The answer in a few words.
        sentence: The numbers behind it.
        findings: One sentence for each other configuration, the fine-tuned ones first.
    """

    question: str
    verdict: str
    sentence: str
    findings: list[str]


def verdict(intervals: Mapping[str, Interval]) -> str:
    """Sum up whether a system beats its rivals.

    Args:
        intervals: Rival -> word error rate of the system minus that of the rival.

    Example:
        >>> lower, level = Interval(-2, -3, -1, 1.0), Interval(-1, -2, 0.5, 0.9)
        >>> verdict({"a": lower}), verdict({"a": lower, "b": level}), verdict({"a": level})
        ('Yes', 'Better than some, not shown for all', 'Not shown')
    """
    wins = sum(interval.high < 0 for interval in intervals.values())
    losses = sum(interval.low > 0 for interval in intervals.values())
    if intervals and wins == len(intervals):
        return "Yes"
    if wins and losses:
        return "Better than some, worse than others"
    if wins:
        return "Better than some, not shown for all"
    return "No" if losses else "Not shown"


def answer(scores: Scores, subject: str) -> Answer:
    """Compare a configuration with the baselines, or with all fine-tuned ones where it is a baseline or there is none.

    Args:
        scores: System -> test set -> score.
        subject: The configuration.

    Returns:
        The answer, on all noisy test sets together.
    """
    sets = noisy_sets(scores)
    pooled = pool(scores, sets, called=NOISY_SETS)
    groups = group_seeds(scores)
    others = [name for name in groups if name not in ("clean", subject)]
    rates = {
        name: mean_and_deviation([pooled[seed][NOISY_SETS].total("words").rate for seed in groups[name]])[0]
        for name in (subject, *others)
    }
    differences = {name: compare(pooled, name, subject, NOISY_SETS) for name in others}
    tuned = [name for name in others if name not in REFERENCE_SYSTEMS]
    baselines = [] if is_baseline(subject) else [name for name in tuned if is_baseline(name)]
    rivals, called = (baselines, "the baselines") if baselines else (tuned, "the other fine-tuned systems")
    own = bootstrap_rate(*stack_errors([pooled[seed][NOISY_SETS] for seed in groups[subject]]))
    words = pooled[groups[subject][0]][NOISY_SETS].total("words").reference
    seeds = len(groups[subject])
    sentence = (
        f"{label(subject)} makes {own.value:.1f} % word errors on {', '.join(sets)} ({words:,} words, "
        f"{seeds} training run{'' if seeds == 1 else 's'}; 95 % interval {own.low:.1f} to {own.high:.1f})"
    )
    if rivals:
        best = min(rivals, key=rates.__getitem__)
        sentence += f"; the best of {called}, {label(best)}, {rates[best]:.1f} %: {_difference(differences[best])}."
        # Beating the baselines is no merit of the subject where another objective does so as well.
        if further := [name for name in tuned if name not in rivals]:
            other = min(further, key=rates.__getitem__)
            sentence += (
                f" Of the others {label(other)} is the lowest, {rates[other]:.1f} %: {_difference(differences[other])}."
            )
        if seeds == 1:
            sentence += " One training run each says nothing about other runs: several seeds are needed for a ranking."
    else:
        sentence += "."
    return Answer(
        question=f"Does {'position-invariant fine-tuning' if is_subject(subject) else label(subject)} beat {called}?",
        verdict=verdict({name: differences[name] for name in rivals}) if rivals else "Nothing to compare with",
        sentence=sentence,
        findings=[
            f"Against {label(name)}: {_finding(differences[name], rates[name])}."
            for name in sorted(others, key=lambda name: name in REFERENCE_SYSTEMS)
        ],
    )


def _finding(difference: Interval, rate: float) -> str:
    """Say what a difference to a system of the given error rate shows."""
    if not difference.excludes_zero:
        return f"no difference is shown: {_difference(difference)}"
    share = f" ({100 * abs(difference.value) / rate:.0f} % relative)" if rate else ""
    direction = "lower" if difference.value < 0 else "higher"
    return f"WER is {abs(difference.value):.1f} points{share} {direction}, {_span(difference)}"


def _difference(interval: Interval) -> str:
    return f"{interval.value:+.1f} points, {_span(interval)}"


def _span(interval: Interval) -> str:
    return f"95 % interval {interval.low:+.1f} to {interval.high:+.1f}"


def convergence_answer(curves: Mapping[str, Curve], subject: str) -> str:
    """Say how fast a configuration converges beside the others.

    Args:
        curves: Configuration -> development word error rate in per cent, two of them at least.
        subject: One of the configurations.

    Returns:
        One sentence on the area under the curves, divided by its length.
    """
    start = max(float(curve.updates[0]) for curve in curves.values())
    end = min(float(curve.updates[-1]) for curve in curves.values())
    heights = {name: float(mean_height(curve, start=start, end=end).mean()) for name, curve in curves.items()}
    rank = sorted(heights, key=heights.__getitem__)
    place = rank.index(subject) + 1
    other, role = (rank[1], "next") if place == 1 else (rank[0], "lowest")
    return (
        f"Convergence: over updates {start:g} to {end:g} its mean development error is {heights[subject]:.1f} %, "
        f"place {place} of {len(rank)}; the {role} is {label(other)} with {heights[other]:.1f} %."
    )


def cost_answer(costs: Mapping[str, Cost], subject: str) -> str:
    """Say what training a configuration and running it cost beside the others.

    Args:
        costs: System -> cost.
        subject: A configuration.

    Returns:
        Two sentences, without those for which nothing was measured.

    Example:
        >>> costs = {f"{name}_joint": Cost(updates=100, training_seconds=10 * n) for n, name in enumerate("abc", 1)}
        >>> cost_answer(costs, "b_joint")
        'Cost: an update of its training takes 200 ms, with the others 100 ms (a_joint) to 300 ms (c_joint).'
    """
    tuned = {name: seeds for name, seeds in group_seeds(costs).items() if name not in REFERENCE_SYSTEMS}
    groups = {name: [costs[seed] for seed in seeds] for name, seeds in tuned.items()}
    training = {name: [1e3 * run.training_seconds / run.updates for run in runs] for name, runs in groups.items()}
    decoding = {name: [run.decoding_factor for run in runs] for name, runs in groups.items()}
    sentences = [
        _beside("an update of its training", training, subject, "ms", 0),
        _beside("recognizing a second of audio, enhancement included,", decoding, subject, "s", 2),
    ]
    said = "; ".join(filter(None, sentences))
    return f"Cost: {said}." if said else ""


def _beside(what: str, values: Mapping[str, Sequence[float]], subject: str, unit: str, digits: int) -> str:
    """Say a mean over seeds and the range of those of the others."""
    means = {name: mean_and_deviation(runs)[0] for name, runs in values.items() if not any(map(math.isnan, runs))}
    own = means.pop(subject, None)
    if own is None:
        return ""
    ends = dict.fromkeys(choose(means, key=means.__getitem__) for choose in (min, max)) if means else ()
    others = " to ".join(f"{means[name]:.{digits}f} {unit} ({label(name)})" for name in ends)
    return f"{what} takes {own:.{digits}f} {unit}" + (f", with the others {others}" if others else "")
