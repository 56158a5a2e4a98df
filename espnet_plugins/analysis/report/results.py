"""The RESULTS file: every number of a comparison, as Markdown in ESPnet's manner."""

from __future__ import annotations

from collections.abc import Mapping

from espnet_plugins.analysis.comparison.conditions import GROUPINGS, condition_table
from espnet_plugins.analysis.comparison.convergence import convergence_table, evaluation_table
from espnet_plugins.analysis.comparison.cost import COST_NOTE, cost_table
from espnet_plugins.analysis.comparison.tables import RATES, datasets, error_table, quality_table, word_error_summary
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.scoring.listeners import DISTILLMOS, DNSMOS, LEVEL_DB
from espnet_plugins.analysis.scoring.quality import DEFINITIONS
from espnet_plugins.analysis.scoring.scores import SetScore

_LISTENED = (*DNSMOS, *DISTILLMOS)


def render_results(content: Content, *, picture: str = "curves.png", probe_picture: str = "probe/probe.png") -> str:
    """Write the RESULTS file.

    Args:
        content: What it shows.
        picture: Path of the convergence curves, from where the file is.
        probe_picture: Path of the positional probe's figure.

    Returns:
        The Markdown text; the same for the same content.
    """
    scores, curves, measure = content.scores, content.curves, content.measure
    sets = datasets(scores)
    words = {name: scores[next(iter(scores))][name].total("words").reference for name in sets}
    parts = [
        f"# {content.title}",
        *([f"**{content.note}**"] if content.note else []),
        "## Environments",
        "\n".join(f"- {key}: `{value}`" for key, value in content.environment.items()),
        "## Word error rate (%)",
        word_error_summary(scores).markdown(),
        "Words in the references: " + ", ".join(f"{name} {count}" for name, count in words.items()) + ". "
        "Where a configuration was trained with several seeds, mean ± standard deviation over them.",
        "With the 95 % interval of a bootstrap over utterances and seeds (10,000 resamples; Bisani and Ney 2004):",
        content.rates.markdown(),
    ]
    if content.by_head.rows:
        parts += [
            "## Words and phones",
            content.by_head.markdown(),
            "Error rates (%) of the recognizers of words (WER) and of phones (PER) behind the same front-end.",
        ]
    if content.differences.rows:
        parts += [
            "## Differences in word error rate",
            content.differences.markdown(),
            "In per cent absolute, negative where the first system is better, with the interval of a paired "
            "bootstrap as above, bold where it excludes zero. The intervals are not corrected for the number "
            "of comparisons, and with one seed they say nothing about other training runs.",
        ]
    if content.loops.rows:
        parts += [
            "## Loops of the recognizer",
            content.loops.markdown(),
            "More words inserted than were said, and more than twenty. Without these utterances, in every system:",
            *(table.markdown() for table in content.without_loops),
        ]
    if curves:
        parts += ["## Convergence", f"![Development results against updates]({picture})"]
        if content.comparable:
            parts += [
                convergence_table(curves, measure).markdown(),
                "The mean over updates is the area under the curve divided by its length: lower is faster.",
            ]
        else:
            parts.append("Losses of different objectives have different scales: only their shapes compare.")
        parts.append(evaluation_table(curves, measure).markdown())
    if content.setting_differences.rows:
        parts += [
            "## Settings that differ",
            "Everything else is the same: data, updates, seeds, optimizer, batches, upstream.",
            content.setting_differences.markdown(),
        ]
    if content.costs:
        parts += [
            "## Cost",
            cost_table(content.costs).markdown(),
            COST_NOTE,
        ]
    if content.probe:
        figure = f"![Position in the SSL model, layer by layer]({probe_picture})"
        parts += ["## Position in the SSL model", content.probe.table().markdown(), content.probe.caption(), figure]
    parts += ["## Word error rate by condition"]
    for name in sets:
        parts += [
            f"### {name}",
            *(condition_table(scores, name, by=by).markdown() for by in GROUPINGS),
        ]
    parts += [
        "## Signal quality",
        f"{DEFINITIONS} `inf`: a perfect estimate in scores made without the cap. `Utt` counts the utterances on which "
        "all of them could be measured, of those that were tried: an even choice over the test set.",
    ]
    if any(score.quality(metric) for by_set in scores.values() for score in by_set.values() for metric in _LISTENED):
        parts.append(
            "DNSMOS and DistillMOS judge without a reference, from 1 to 5, every signal at "
            f"{LEVEL_DB:g} dB of full scale, perhaps fewer utterances than the other measures."
        )
    for name in sets:
        parts += [f"### {name}", quality_table(scores, name).markdown()]
    for system, by_set in scores.items():
        parts += [f"## {system}"]
        for unit, rate in RATES.items():
            parts += [f"### {rate}", error_table(by_set, unit).markdown()]
        parts += _remarks(by_set)
    return "\n\n".join(parts) + "\n"


def _remarks(by_set: Mapping[str, SetScore]) -> list[str]:
    lines = []
    for name, score in by_set.items():
        if score.missing:
            lines.append(f"- {name}: no hypothesis, counted as deletions: {', '.join(score.missing)}")
        for utt, reason in score.unscorable.items():
            lines.append(f"- {name}: quality of {utt} not measured: {reason}")
    return ["### Utterances that could not be scored", "\n".join(lines)] if lines else []
