"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import resources
from typing import Any

from espnet_plugins.analysis.comparison.comparisons import NOISY_SETS, noisy_sets, pool
from espnet_plugins.analysis.comparison.conditions import GROUPINGS, condition_table
from espnet_plugins.analysis.comparison.convergence import convergence_table, evaluation_table
from espnet_plugins.analysis.comparison.cost import COST_NOTE, cost_table
from espnet_plugins.analysis.comparison.curves import MEASURES, Curve
from espnet_plugins.analysis.comparison.plots import inline_svg, plot_conditions, plot_curves, plot_quality
from espnet_plugins.analysis.comparison.statistics import mean_and_deviation
from espnet_plugins.analysis.comparison.tables import RATES, Table, datasets, error_table, quality_table
from espnet_plugins.analysis.probe import ProbeResult
from espnet_plugins.analysis.probe.figure import plot_probe
from espnet_plugins.analysis.report.answer import Answer, answer, convergence_answer, cost_answer
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.listening import Example
from espnet_plugins.analysis.scoring.names import label
from espnet_plugins.analysis.scoring.scores import Scores, group_seeds


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Args:
        name: Identifies it in the page, one word.
        svg: The `<svg>` element.
        alternative: What it shows, for whom does not see it.
        caption: What stands below it.
    """

    name: str
    svg: str
    alternative: str
    caption: str


def overview(scores: Scores) -> str:
    """One sentence with the word error rates on all noisy test sets together."""
    sets = noisy_sets(scores)
    pooled = pool(scores, sets, called=NOISY_SETS)
    rates = {
        name: mean_and_deviation([pooled[seed][NOISY_SETS].total("words").rate for seed in seeds])[0]
        for name, seeds in group_seeds(scores).items()
    }
    words = next(iter(pooled.values()))[NOISY_SETS].total("words").reference
    parts = [f"{label(name)} {rate:.1f} %" for name, rate in rates.items()]
    return f"Word error rate over {', '.join(sets)} ({words:,} words): " + "; ".join(parts) + "."


def render_report(content: Content, *, examples: Sequence[Example] = ()) -> str:
    """Write the page.

    Args:
        content: What it shows.
        examples: Utterances to listen to, in the order to show.

    Returns:
        The HTML text, with style, script, figures and audio inside.
    """
    import jinja2

    folder = resources.files(__package__) / "templates"
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template.filters["emphasize"] = _emphasize
    page = template.from_string((folder / "report.html").read_text(encoding="utf-8"))
    scores, curves, measure = content.scores, content.curves, content.measure
    about, sets = content.subject, datasets(scores)
    return page.render(
        content=content,
        style=(folder / "report.css").read_text(encoding="utf-8"),
        script=(folder / "report.js").read_text(encoding="utf-8"),
        subject=label(about) if about else None,
        answer=answer(scores, about) if about else Answer("In short", "", overview(scores), []),
        cost_answer=cost_answer(content.costs, about) if about else "",
        convergence_answer=(
            convergence_answer(curves, about)
            if about and content.comparable and about in curves and len(curves) > 1
            else ""
        ),
        rates=_pooled_first(content.rates),
        differences=_pooled_first(content.differences),
        without_loops=[_pooled_first(table) for table in content.without_loops],
        curve_figure=_curve_figure(curves, measure) if curves else None,
        convergence=convergence_table(curves, measure) if content.comparable else None,
        evaluations=evaluation_table(curves, measure) if curves else None,
        costs=cost_table(content.costs) if content.costs else None,
        cost_note=COST_NOTE,
        probe_figure=_probe_figure(content.probe) if content.probe else None,
        figures=_condition_figures(scores),
        conditions={name: [condition_table(scores, name, by=by) for by in GROUPINGS] for name in sets},
        quality={name: quality_table(scores, name) for name in sets},
        details={name: _details(scores, name) for name in scores},
        examples=examples,
    )


def _pooled_first(table: Table) -> Table:
    """Put the noisy sets together before each of them: the last columns of a wide table are out of sight."""
    first, *others = range(len(table.header))
    order = [first, *sorted(others, key=lambda column: table.header[column] != NOISY_SETS)]
    header, *rows = ([row[column] for column in order] for row in (table.header, *table.rows))
    return Table(header, rows)


def _curve_figure(curves: Mapping[str, Curve], measure: str) -> Figure:
    ends = "; ".join(f"{label(name)} from {c.mean[0]:.1f} to {c.mean[-1]:.1f}" for name, c in curves.items())
    return Figure(
        "curves",
        inline_svg(lambda: plot_curves(curves, measure), name="curves"),
        f"Line chart of {MEASURES[measure]} against updates: {ends}.",
        "Development results against updates of fine-tuning; the band is one standard deviation over seeds.",
    )


def _probe_figure(probe: ProbeResult) -> Figure:
    shares = (f"layer {index} {100 * layer.states.index.value:.1f} %" for index, layer in probe.layers.items())
    return Figure(
        "probe",
        inline_svg(lambda: plot_probe(probe), name="probe"),
        f"Chart of the share of the frames' variance that their index explains: {', '.join(shares)}.",
        probe.caption(),
    )


def _condition_figures(scores: Scores) -> list[Figure]:
    sets = noisy_sets(scores)
    pooled = pool(scores, sets, called=NOISY_SETS)
    figures = []
    for by, what in (("SNR", "signal-to-noise ratio"), ("noise", "type of noise")):
        svg = inline_svg(partial(plot_conditions, pooled, NOISY_SETS, by=by), name=by.lower())
        text = f"Word error rate by {what}, on {', '.join(sets)} together."
        figures.append(Figure(by.lower(), svg, f"Chart: {text} The numbers are in the tables below.", text))
    if any(by_set[NOISY_SETS].quality("pesq") for by_set in pooled.values()):
        svg = inline_svg(partial(plot_quality, pooled, NOISY_SETS, "pesq", axis="PESQ (wideband)"), name="pesq")
        text = f"Word error rate against PESQ, on the measured utterances of {', '.join(sets)}."
        figures.append(Figure("pesq", svg, f"Scatter chart: {text}", text))
    return figures


def _details(scores: Scores, system: str) -> list[tuple[str, Table]]:
    return [(unit, error_table(scores[system], unit)) for unit in RATES]


def _emphasize(text: str) -> Any:
    """Escape a cell; its `**text**` becomes strong, a rise of the error rate marked as one."""
    from markupsafe import Markup, escape

    def strong(match: re.Match[str]) -> str:
        kind = ' class="worse"' if match[1].startswith("+") else ""
        return f"<strong{kind}>{match[1]}</strong>"

    return Markup(re.sub(r"\*\*(.+?)\*\*", strong, str(escape(text))))
