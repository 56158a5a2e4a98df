"""The RESULTS file: every number of a comparison, as Markdown in ESPnet's manner."""

from __future__ import annotations

from collections.abc import Mapping

from espnet_plugins.analysis.comparisons import compared_pairs, comparison_table, with_pooled
from espnet_plugins.analysis.conditions import GROUPINGS, condition_table
from espnet_plugins.analysis.convergence import convergence_table, evaluation_table
from espnet_plugins.analysis.cost import Cost, cost_table
from espnet_plugins.analysis.curves import Curve
from espnet_plugins.analysis.scores import Scores, SetScore, group_seeds
from espnet_plugins.analysis.tables import datasets, error_table, quality_table, word_error_summary


def render_results(
    scores: Scores,
    curves: Mapping[str, Curve],
    *,
    measure: str | None,
    title: str,
    environment: Mapping[str, str],
    costs: Mapping[str, Cost],
) -> str:
    """Write the RESULTS file.

    Args:
        scores: System -> test set -> score.
        curves: Configuration -> development curve; may be empty.
        measure: What the curves hold.
        title: Heading.
        environment: What -> value, as describe_environment() gives it.
        costs: System -> what it cost; may be empty.

    Returns:
        The Markdown text; the same for the same arguments.
    """
    sets, pooled = datasets(scores), with_pooled(scores)
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
            comparison_table(pooled).markdown(),
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
            evaluation_table(curves, measure).markdown(),
        ]
    if costs:
        parts += [
            "## Cost",
            cost_table(costs).markdown(),
            "Wall times as they were, with whatever else ran at the time; real-time factors include the start "
            "of the program.",
        ]
    parts += ["## Word error rate by condition"]
    for name in sets:
        parts += [
            f"### {name}",
            *(condition_table(scores, name, by=by).markdown() for by in GROUPINGS),
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
