"""Figures of the report."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet_plugins.analysis.comparison.conditions import rates_by_condition
from espnet_plugins.analysis.comparison.curves import LOSS, MEASURES, Curve
from espnet_plugins.analysis.scoring.names import is_baseline, label
from espnet_plugins.analysis.scoring.scores import ErrorCounts, Scores, group_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors without yellow and black, and a violet: distinct with every common color vision together
# with the markers, readable on white and on black.
COLORS = ("#8A6BBE", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#0072B2")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_GRAY = "#7a8288"
_REFERENCE_MARKERS = {"clean": "_", "noisy": "x", "se": "+"}
# Stands for the color of the surrounding text until the SVG is written.
_TEXT = "#010203"
_SIZE = (7.0, 4.2)
# So many levels fit side by side under an axis.
_UPRIGHT = 6
# So many bands may overlap.
_FEW = 4
_SHADE = 0.18
# Height of axes that stand above each other, in inches.
_PANEL = 1.5
# Names are long; the height of a row in inches.
_LEGEND_COLUMNS, _LEGEND_ROW = 2, 0.2


def styles(configurations: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Color, marker and line of every configuration.

    References are gray, baselines dashed; the fine-tuned ones look the same in every figure of a report.
    """
    looks: dict[str, dict[str, Any]] = {}
    for name in configurations:
        if name in _REFERENCE_MARKERS:
            looks[name] = {"color": _GRAY, "marker": _REFERENCE_MARKERS[name], "linestyle": ":"}
        else:
            index = sum(look["color"] != _GRAY for look in looks.values())
            color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
            # Where colors come round again, another line tells the two apart.
            line = "--" if is_baseline(name) else "-" if index < len(COLORS) else "-."
            looks[name] = {"color": color, "marker": marker, "linestyle": line}
    return looks


def plot_curves(curves: Mapping[str, Curve], measure: str) -> Figure:
    """Draw development results against updates, one line for each configuration.

    Losses of different objectives have different scales: each has axes of its own.

    Args:
        curves: Configuration -> curve.
        measure: The measure the curves hold, one of MEASURES.

    Returns:
        The figure; a band shows one standard deviation over runs to either side.
    """
    x, y = "Updates of fine-tuning", MEASURES[measure].replace("d", "D", 1)
    looks = styles(curves)
    if measure == LOSS and len(curves) > 1:
        figure, panels = _panels(len(curves), x, y)
        for axes, (name, look) in zip(panels, looks.items(), strict=True):
            _draw_curve(axes, curves[name], look, name, shade=_SHADE)
            axes.set_title(axes.get_legend_handles_labels()[1][0], fontsize="small")
        return figure
    figure, axes = _axes(x, y)
    for name, look in looks.items():
        # Many bands on top of each other would hide the lines.
        _draw_curve(axes, curves[name], look, name, shade=_SHADE if len(curves) <= _FEW else _SHADE / 3)
    _legend_above(axes)
    return figure


def _draw_curve(axes: Axes, curve: Curve, look: Mapping[str, Any], name: str, *, shade: float) -> None:
    # A run for each seed, and for each fold where there are several.
    runs = len(curve.values)
    text = label(name) + (f" ({runs} runs)" if runs > 1 else "")
    axes.plot(curve.updates, curve.mean, label=text, markersize=4, linewidth=1.5, **look)
    if runs > 1:
        low, high = curve.mean - curve.deviation, curve.mean + curve.deviation
        axes.fill_between(curve.updates, low, high, color=look["color"], alpha=shade, linewidth=0)


def save_curves(curves: Mapping[str, Curve], measure: str, path: Path) -> None:
    """Write the convergence curves as PNG; what they were drawn from is named in the file.

    Args:
        curves: Of each configuration.
        measure: What they show, one of MEASURES.
        path: The picture.
    """
    figure = plot_curves(curves, measure)
    figure.savefig(path, format="png", dpi=150, metadata={"Description": curve_fingerprint(curves, measure)})


def curve_fingerprint(curves: Mapping[str, Curve], measure: str) -> str:
    """A text that is the same for the same curves, to tell whether a picture shows them.

    Example:
        >>> import numpy as np
        >>> curve = Curve(np.array([0.0, 1.0]), np.array([[2.0, 1.0]]), np.zeros(2))
        >>> curve_fingerprint({"a": curve}, "valid_loss") == curve_fingerprint({"b": curve}, "valid_loss")
        False
    """
    drawn = {name: [curve.updates.tolist(), curve.values.tolist()] for name, curve in curves.items()}
    return hashlib.sha256(json.dumps([measure, drawn]).encode("utf-8")).hexdigest()


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
    for name, look in styles(rates).items():
        joined = look if by == "SNR" else {**look, "linestyle": "none"}
        axes.plot(range(len(names)), rates[name].mean(axis=0), label=label(name), markersize=6, linewidth=1.2, **joined)
    upright = by == "SNR" and len(names) <= _UPRIGHT
    turned: dict[str, Any] = {} if upright else {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, **turned)
    axes.set_ylim(bottom=0)
    _legend_above(axes)
    return figure


def plot_quality(scores: Scores, dataset: str, metric: str, *, axis: str) -> Figure:
    """Draw signal quality against word error rate, one point for each configuration.

    Args:
        scores: System -> test set -> score.
        dataset: The test set.
        metric: One of the quality metrics.
        axis: Label of the metric.

    Returns:
        The figure. Both coordinates are taken over the utterances whose quality was measured.
    """
    figure, axes = _axes(axis, "WER (%) of the same utterances")
    groups = group_seeds(scores)
    for configuration, look in styles(groups).items():
        runs = [scores[seed][dataset] for seed in groups[configuration]]
        measured = [utt for run in runs for utt in run.utterances.values() if metric in utt.quality]
        if measured:
            quality = sum(utt.quality[metric] for utt in measured) / len(measured)
            rate = sum((utt.words for utt in measured), ErrorCounts()).rate
            axes.plot(quality, rate, label=label(configuration), markersize=8, **{**look, "linestyle": "none"})
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


def _panels(count: int, x: str, y: str) -> tuple[Figure, list[Axes]]:
    """As many small axes in two columns, with one label for all."""
    from matplotlib.figure import Figure

    rows = math.ceil(count / 2)
    figure = Figure(figsize=(_SIZE[0], 0.6 + _PANEL * rows), layout="constrained")
    panels = list(figure.subplots(rows, 2, sharex=True, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    for axes in panels[:count]:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_tick_params(labelbottom=True)
    figure.supxlabel(x, fontsize="medium")
    figure.supylabel(y, fontsize="medium")
    return figure, panels[:count]


def _legend_above(axes: Axes) -> None:
    """Put the legend above the axes, in a figure that is as much higher."""
    lines, labels = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    assert figure is not None
    look: dict[str, Any] = {"frameon": False, "fontsize": "small", "columnspacing": 1}
    for columns in range(_LEGEND_COLUMNS, 0, -1):
        figure.set_figheight(_SIZE[1] + _LEGEND_ROW * math.ceil(len(lines) / columns))
        legend = figure.legend(lines, labels, ncols=columns, loc="outside upper left", **look)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        # Names that stand side by side would be cut off at the edge.
        legend.remove()


def inline_svg(draw: Callable[[], Figure], *, name: str) -> str:
    """Draw a figure as SVG to stand inside a page.

    Args:
        draw: Makes the figure.
        name: Prefix of the ids inside, so that several figures can stand in one page.

    Returns:
        The `<svg>` element; text and axes have the color of the surrounding text, the ground is transparent.
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
