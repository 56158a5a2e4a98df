"""Figures of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from espnet_plugins.analysis.curves import MEASURES, Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours without yellow and black: distinct with every common colour vision, readable on
# white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def style(index: int) -> tuple[str, str]:
    """Colour and marker of the index-th configuration, the same in every figure."""
    return COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]


def plot_curves(curves: Mapping[str, Curve], measure: str) -> Figure:
    """Draw development results against updates, one line for each configuration.

    Args:
        curves: Configuration -> curve.
        measure: The measure the curves hold, one of MEASURES.

    Returns:
        The figure; a band shows one standard deviation over seeds to either side.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for index, (name, curve) in enumerate(curves.items()):
        colour, marker = style(index)
        seeds = len(curve.values)
        text = f"{name} ({seeds} seeds)" if seeds > 1 else name
        axes.plot(curve.updates, curve.mean, markersize=4, linewidth=1.5, color=colour, marker=marker, label=text)
        if seeds > 1:
            low, high = curve.mean - curve.deviation, curve.mean + curve.deviation
            axes.fill_between(curve.updates, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.set_xlabel("Updates of fine-tuning")
    axes.set_ylabel(MEASURES[measure].replace("d", "D", 1))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
