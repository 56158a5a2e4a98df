"""The RESULTS file: every number of a comparison, as Markdown in ESPnet's manner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from espnet_plugins.analysis.curves import MEASURES, Curve, common_thresholds, first_below, mean_height
from espnet_plugins.analysis.scores import REFERENCE_SYSTEMS, SetScore, group_seeds
from espnet_plugins.analysis.statistics import Interval, bootstrap_difference, stack_errors
from espnet_plugins.analysis.tables import (
    Scores,
    Table,
    datasets,
    error_table,
    label,
    mean_cell,
    number,
    quality_table,
    word_error_summary,
)


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
    """Pairs worth an interval: every fine-tuned system against the front-end it started from, and every
    two fine-tuned systems against each other.

    Example:
        >>> compared_pairs(["clean", "noisy", "se", "a", "b"])
        [('noisy', 'se'), ('se', 'a'), ('se', 'b'), ('a', 'b')]
    """
    names = list(configurations)
    tuned = [name for name in names if name not in REFERENCE_SYSTEMS]
    pairs = [("noisy", "se")] if {"noisy", "se"} <= set(names) else []
    pairs += [("se", name) for name in tuned if "se" in names]
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
        [a, b, *(interval_cell(compare(scores, a, b, dataset)) for dataset in sets)]
        for a, b in compared_pairs(group_seeds(scores))
    ]
    return Table(["baseline", "system", *sets], rows)


def convergence_table(curves: Mapping[str, Curve], measure: str) -> Table:
    """How fast each configuration converges.

    Args:
        curves: Configuration -> development curve.
        measure: What the curves hold, one of MEASURES.

    Returns:
        A table with the area under each curve over the updates that all curves cover, and the updates and
        the time that the mean over seeds takes down to common thresholds.
    """
    start = max(float(curve.updates[0]) for curve in curves.values())
    end = min(float(curve.updates[-1]) for curve in curves.values())
    thresholds = common_thresholds(list(curves.values()))
    name = MEASURES[measure]
    header = ["system", "seeds", f"mean {name} over updates {start:g} to {end:g}", "first", "last"]
    for threshold in thresholds:
        header += [f"updates to {number(threshold)}", "seconds"]
    rows = []
    for configuration, curve in curves.items():
        row = [configuration, str(len(curve.values)), mean_cell(mean_height(curve, start=start, end=end).tolist())]
        row += [mean_cell(curve.values[:, i].tolist()) for i in (0, -1)]
        for threshold in thresholds:
            for positions in (curve.updates, curve.seconds):
                reached = first_below(positions, curve.mean, threshold)
                row.append("-" if reached is None else number(reached, 0))
        rows.append(row)
    return Table(header, rows)


def condition_table(scores: Scores, dataset: str, *, by: str) -> Table:
    """Word error rate by noise type, by SNR, or by speaker.

    Args:
        scores: System -> test set -> score.
        dataset: The test set.
        by: `noise`, `SNR` or `speaker`.

    Returns:
        One row for each configuration, one column for each condition; mean over seeds.
    """
    groups = group_seeds(scores)
    first = scores[next(iter(scores))][dataset]
    names = sorted({condition(first, utt, by=by) for utt in first.utterances}, key=_natural)
    rows = []
    for configuration, seeds in groups.items():
        cells = []
        for name in names:
            rates = [
                SetScore(
                    run.system,
                    dataset,
                    {utt: s for utt, s in run.utterances.items() if condition(run, utt, by=by) == name},
                )
                .total("words")
                .rate
                for run in (scores[s][dataset] for s in seeds)
            ]
            cells.append(mean_cell(rates))
        rows.append([label(configuration, len(seeds)), *cells])
    return Table([f"WER (%) by {by}", *names], rows)


def condition(score: SetScore, utterance: str, *, by: str) -> str:
    """The noise type, SNR or speaker of an utterance; `unknown` where the data did not say.

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


def _natural(name: str) -> tuple[float, str]:
    try:
        return float(name.removesuffix(" dB")), ""
    except ValueError:
        return float("inf"), name


def render_results(
    scores: Scores,
    curves: Mapping[str, Curve],
    *,
    measure: str | None,
    title: str,
    environment: Mapping[str, str],
) -> str:
    """Write the RESULTS file.

    Args:
        scores: System -> test set -> score.
        curves: Configuration -> development curve; may be empty.
        measure: What the curves hold.
        title: Heading.
        environment: What -> value, as describe_environment() gives it.

    Returns:
        The Markdown text; the same for the same arguments.
    """
    sets = datasets(scores)
    words = {name: scores[next(iter(scores))][name].total("words").reference for name in sets}
    parts = [
        f"# {title}",
        "## Environments",
        "\n".join(f"- {key}: `{value}`" for key, value in environment.items()),
        "## Word error rate (%)",
        word_error_summary(scores).markdown(),
        "Words in the references: " + ", ".join(f"{name} {count}" for name, count in words.items()) + ". "
        "Where a configuration was trained with several seeds, mean ± standard deviation over them.",
    ]
    if compared_pairs(group_seeds(scores)):
        parts += [
            "## Differences in word error rate",
            comparison_table(scores).markdown(),
            "System minus baseline in per cent absolute, negative where the system is better, with the 95 % "
            "interval of a paired bootstrap over utterances and seeds (10,000 resamples; Bisani and Ney "
            "2004), bold where it excludes zero. The intervals are not corrected for the number of "
            "comparisons, and with one seed they say nothing about other training runs.",
        ]
    if curves and measure is not None:
        parts += [
            "## Convergence",
            "![Development results against updates](curves.png)",
            convergence_table(curves, measure).markdown(),
            "The mean over updates is the area under the curve divided by its length: lower is faster.",
        ]
    parts += ["## Word error rate by condition"]
    for name in sets:
        parts += [
            f"### {name}",
            *(condition_table(scores, name, by=by).markdown() for by in ("noise", "SNR", "speaker")),
        ]
    parts += [
        "## Signal quality",
        "STOI and ESTOI in per cent, SDR and SI-SDR in dB, wideband PESQ. `Utt` counts the utterances on "
        "which all of them could be measured, of those that were tried: an even choice over the test set.",
    ]
    for name in sets:
        parts += [f"### {name}", quality_table(scores, name).markdown()]
    for system, by_set in scores.items():
        parts += [f"## {system}", "### WER", error_table(by_set, "words").markdown(), "### CER"]
        parts += [error_table(by_set, "characters").markdown(), *_remarks(by_set)]
    return "\n\n".join(parts) + "\n"


def _remarks(by_set: Mapping[str, SetScore]) -> list[str]:
    lines = []
    for name, score in by_set.items():
        if score.missing:
            lines.append(f"- {name}: no hypothesis, counted as deletions: {', '.join(score.missing)}")
        for utt, reason in score.unscorable.items():
            lines.append(f"- {name}: quality of {utt} not measured: {reason}")
    return ["### Utterances that could not be scored", "\n".join(lines)] if lines else []
