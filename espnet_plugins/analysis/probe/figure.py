"""The positional probe as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from espnet_plugins.analysis.comparison.plots import COLORS, MARKERS
from espnet_plugins.analysis.comparison.statistics import Interval
from espnet_plugins.analysis.probe.result import ProbeResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_probe(result: ProbeResult) -> Figure:
    """Draw the shares against the layer, frames to the left and gradients to the right.

    Args:
        result: What the probe found.

    Returns:
        The figure; bars are the intervals.
    """
    from matplotlib.figure import Figure

    lines: list[dict[str, dict[int, Interval | None]]] = [
        {
            "same index": {index: layer.states.index for index, layer in result.layers.items()},
            "content moved": {index: layer.states.moved for index, layer in result.layers.items()},
        }
    ]
    if result.objectives:
        lines.append(
            {
                name: {index: layer.gradients.get(name) for index, layer in result.layers.items()}
                for name in result.objectives
            }
        )
    figure = Figure(figsize=(3.6 * len(lines) + 0.6, 3.6), layout="constrained")
    for axes, drawn, title in zip(
        figure.subplots(1, len(lines), squeeze=False)[0], lines, ("Frames", "Gradients"), strict=False
    ):
        for number, (name, by_layer) in enumerate(drawn.items()):
            # Side by side, so that the bars do not hide each other.
            aside = 0.12 * (number - (len(drawn) - 1) / 2)
            measured = {index: found for index, found in by_layer.items() if found and found.value == found.value}
            values = [100 * found.value for found in measured.values()]
            below = [100 * (found.value - found.low) for found in measured.values()]
            above = [100 * (found.high - found.value) for found in measured.values()]
            axes.errorbar(
                [index + aside for index in measured],
                values,
                yerr=[[max(length, 0.0) for length in below], [max(length, 0.0) for length in above]],
                label=name,
                color=COLORS[number % len(COLORS)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=5,
                linewidth=1.2,
                capsize=2,
            )
        axes.set_xlabel(f"{title[:-1]}s of layer")
        axes.set_ylabel("share that follows position (%)")
        axes.set_xticks(list(result.layers))
        axes.set_xlim(min(result.layers) - 0.5, max(result.layers) + 0.5)
        axes.axhline(0, color="#7a8288", linewidth=0.8)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), fontsize="small")
    return figure
