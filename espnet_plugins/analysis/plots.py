"""Figures of the report."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

from espnet_plugins.analysis.conditions import rates_by_condition
from espnet_plugins.analysis.curves import MEASURES, Curve
from espnet_plugins.analysis.scores import Scores, group_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours without yellow and black: distinct with every common colour vision, readable on
# white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# Stands for the colour of the surrounding text until the SVG is written.
_TEXT = "#010203"
_SIZE = (7.0, 4.2)


def style(index: int) -> tuple[str, str]:
    """Colour and marker of the index-th configuration of a figure."""
    return COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]


def plot_curves(curves: Mapping[str, Curve], measure: str) -> Figure:
    """Draw development results against updates, one line for each configuration.

    Args:
        curves: Configuration -> curve.
        measure: The measure the curves hold, one of MEASURES.

    Returns:
        The figure; a band shows one standard deviation over seeds to either side.
    """
    figure, axes = _axes("Updates of fine-tuning", MEASURES[measure].replace("d", "D", 1))
    for index, (name, curve) in enumerate(curves.items()):
        colour, marker = style(index)
        seeds = len(curve.values)
        text = f"{name} ({seeds} seeds)" if seeds > 1 else name
        line: dict[str, Any] = {"markersize": 4, "linewidth": 1.5, "color": colour, "marker": marker}
        axes.plot(curve.updates, curve.mean, label=text, **line)
        if seeds > 1:
            low, high = curve.mean - curve.deviation, curve.mean + curve.deviation
            axes.fill_between(curve.updates, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.legend(frameon=False)
    return figure


def plot_conditions(scores: Scores, dataset: str, *, by: str) -> Figure:
    """Draw word error rates by condition, one line of markers for each configuration.

    Args:
        scores: System -> test set -> score.
        dataset: The test set.
        by: `noise`, `SNR` or `speaker`.

    Returns:
        The figure; levels are joined by lines, since they have an order.
    """
    names, rates = rates_by_condition(scores, dataset, by=by)
    figure, axes = _axes(f"{by[0].upper()}{by[1:]}", "WER (%)")
    for index, (name, values) in enumerate(rates.items()):
        colour, marker = style(index)
        joined: dict[str, Any] = {"linestyle": "-" if by == "SNR" else "none", "color": colour, "marker": marker}
        axes.plot(range(len(names)), values.mean(axis=0), label=name, markersize=5, linewidth=1.2, **joined)
    axes.set_xticks(range(len(names)), names)
    if by != "SNR":
        axes.tick_params(axis="x", rotation=30)
    axes.set_ylim(bottom=0)
    _legend_above(axes)
    return figure


def plot_quality(scores: Scores, names: Sequence[str], metric: str, *, axis: str) -> Figure:
    """Draw signal quality against word error rate, one point for each configuration and test set.

    Args:
        scores: System -> test set -> score.
        names: The test sets to show.
        metric: One of the quality metrics.
        axis: Label of the metric.

    Returns:
        The figure. Both coordinates are taken over the utterances whose quality was measured.
    """
    figure, axes = _axes(axis, "WER (%) of the same utterances")
    index = 0
    for configuration, seeds in group_seeds(scores).items():
        points = []
        for name in names:
            measured = [
                utt for seed in seeds for utt in scores[seed][name].utterances.values() if metric in utt.quality
            ]
            if measured:
                errors = sum(utt.words.errors for utt in measured)
                words = sum(utt.words.reference for utt in measured)
                quality = sum(utt.quality[metric] for utt in measured) / len(measured)
                points.append((quality, 100.0 * errors / words, name))
        if points:
            colour, marker = style(index)
            index += 1
            axes.scatter(*zip(*[p[:2] for p in points], strict=True), color=colour, marker=marker, label=configuration)
            for x, y, name in points:
                offset: dict[str, Any] = {"xytext": (5, 3), "textcoords": "offset points"}
                axes.annotate(name, (x, y), fontsize=7, alpha=0.8, **offset)
    axes.set_ylim(bottom=0)
    _legend_above(axes)
    return figure


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend_above(axes: Axes) -> None:
    axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), fontsize="small")


def inline_svg(draw: Callable[[], Figure], *, name: str) -> str:
    """Draw a figure as SVG to stand inside a page.

    Args:
        draw: Makes the figure.
        name: Prefix of the ids inside, so that several figures can stand in one page.

    Returns:
        The `<svg>` element; text and axes have the colour of the surrounding text, the ground is transparent.
    """
    import matplotlib

    roles = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    ground = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": name}
    settings |= dict.fromkeys(roles, _TEXT) | dict.fromkeys(ground, "none")
    stream = StringIO()
    with matplotlib.rc_context(settings):
        draw().savefig(stream, format="svg", metadata={"Date": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].replace(_TEXT, "currentColor")
    # Ids must be unique in the page; what is written about size, fonts and strokes is the page's business.
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;?", "", svg)
    return re.sub(r'^<svg([^>]*?) (?:width|height)="[^"]*"([^>]*?) (?:width|height)="[^"]*"', r"<svg\1\2", svg)
