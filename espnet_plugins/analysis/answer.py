"""The answer to a comparison's question, in words."""

from __future__ import annotations

from collections.abc import Mapping

from espnet_plugins.analysis.comparisons import NOISY_SETS, compare, noisy_sets, pool
from espnet_plugins.analysis.curves import Curve, mean_height
from espnet_plugins.analysis.names import REFERENCE_SYSTEMS, label
from espnet_plugins.analysis.scores import Scores, group_seeds
from espnet_plugins.analysis.statistics import Interval, bootstrap_rate, stack_errors


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


def answer(scores: Scores, subject: str) -> tuple[str, str]:
    """Say whether a configuration recognises noisy speech better than the other fine-tuned ones.

    Args:
        scores: System -> test set -> score.
        subject: The configuration.

    Returns:
        The verdict, and a sentence with the numbers behind it, on all noisy test sets together.
    """
    sets = noisy_sets(scores)
    pooled = pool(scores, sets, called=NOISY_SETS)
    groups = group_seeds(scores)
    rivals = [name for name in groups if name not in (*REFERENCE_SYSTEMS, subject)]
    rates = {
        name: bootstrap_rate(*stack_errors([pooled[seed][NOISY_SETS] for seed in groups[name]]))
        for name in (subject, *rivals)
    }
    own = rates[subject]
    words = pooled[groups[subject][0]][NOISY_SETS].total("words").reference
    seeds = len(groups[subject])
    sentence = (
        f"{label(subject)} makes {own.value:.1f} % word errors on {', '.join(sets)} ({words:,} words, "
        f"{seeds} training run{'' if seeds == 1 else 's'}; 95 % interval {own.low:.1f} to {own.high:.1f})"
    )
    if not rivals:
        return "Nothing to compare with", f"{sentence}."
    best = min(rivals, key=lambda name: rates[name].value)
    sentence += f"; the lowest of the others is {label(best)} with {rates[best].value:.1f} %."
    if seeds == 1:
        sentence += " One training run each says nothing about other runs: several seeds are needed for a ranking."
    return verdict({name: compare(pooled, name, subject, NOISY_SETS) for name in rivals}), sentence


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
    others = ", ".join(f"{label(name)} {heights[name]:.1f}" for name in rank if name != subject)
    return (
        f"Convergence: over updates {start:g} to {end:g} its mean development error is {heights[subject]:.1f} %, "
        f"place {place} of {len(rank)} ({others})."
    )
