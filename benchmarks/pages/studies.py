"""Studies that stand beside the experiments: stored numbers, and the tables and the figure made from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from espnet_plugins.analysis.comparison.comparisons import interval_cell
from espnet_plugins.analysis.comparison.curves import Curve, mean_height
from espnet_plugins.analysis.comparison.plots import COLORS, MARKERS
from espnet_plugins.analysis.comparison.statistics import Interval
from espnet_plugins.analysis.comparison.tables import Table, mean_cell
from espnet_plugins.analysis.scoring.scores import ScoreError

POSITIONS, OPTIONS = "positions", "options"


@dataclasses.dataclass(frozen=True)
class Study:
    """Variants of one thing, all else equal.

    Args:
        kind: POSITIONS or OPTIONS.
        environment: Where and with what it was made, as `describe_environment` says it.
        variants: Variant -> UpstreamResult, or the Curve of its development word error rate.
    """

    kind: str
    environment: Mapping[str, str]
    variants: Mapping[str, Any]

    def table(self) -> Table:
        """One row for each variant."""
        return _KINDS[self.kind].table(self.variants)

    def markdown(self) -> str:
        """The table, and below it what it was made with."""
        made = self.environment
        note = f"{made['date']}, commit {made['git commit']}, {made['machine']}: `{made['command']}`"
        return f"{self.table().markdown()}\n\n{note}"

    def write(self, path: Path) -> None:
        """Write as JSON."""
        variants = {name: _KINDS[self.kind].pack(variant) for name, variant in self.variants.items()}
        content = {"kind": self.kind, "environment": dict(self.environment), "variants": variants}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Study:
        """Read what write() has written.

        Raises:
            ScoreError: When the file is not that.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            unpack = _KINDS[content["kind"]].unpack
            variants = {name: unpack(variant) for name, variant in content["variants"].items()}
            return cls(content["kind"], content["environment"], variants)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ScoreError(
                f"{path}: no study as benchmarks/positions.py and sensitivity.py write it: {error}"
            ) from None


@dataclasses.dataclass(frozen=True)
class UpstreamResult:
    """What came out with one upstream of the study of positions.

    Args:
        index: Share of the variance between utterances that the frame index explains, at the compared layer.
        moved: Share that remains between frames of the same content at other indices.
        gradients: Objective -> share of its gradient that follows the index.
        rates: Configuration -> word error rate of each seed, in per cent.
        difference: Word error rate of the last configuration minus that of the one before, in points.
    """

    index: Interval
    moved: Interval
    gradients: Mapping[str, Interval]
    rates: Mapping[str, list[float]]
    difference: Interval


def _unpack_upstream(packed: Mapping[str, Any]) -> UpstreamResult:
    index, moved, difference = (Interval(**packed[name]) for name in ("index", "moved", "difference"))
    gradients = {objective: Interval(**share) for objective, share in packed["gradients"].items()}
    return UpstreamResult(index, moved, gradients, packed["rates"], difference)


def _positions_table(upstreams: Mapping[str, UpstreamResult]) -> Table:
    first = next(iter(upstreams.values()))
    header = ["positions", "index (%)", "moved (%)", *(f"gradient of {name} (%)" for name in first.gradients)]
    header += [*(f"{name} WER" for name in first.rates), "difference"]
    rows = []
    for name, upstream in upstreams.items():
        shares = [upstream.index, upstream.moved, *upstream.gradients.values()]
        cells = [mean_cell(values) for values in upstream.rates.values()]
        rows.append([name, *map(_percent, shares), *cells, interval_cell(upstream.difference)])
    return Table(header, rows)


def _percent(share: Interval) -> str:
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def plot_positions(upstreams: Mapping[str, UpstreamResult]):
    """Draw the difference in word error rate against the share that the index explains, intervals as bars.

    Args:
        upstreams: Variant -> what came out.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, upstream) in enumerate(upstreams.items()):
        share, difference = upstream.index, upstream.difference
        axes.errorbar(
            [100 * share.value],
            [difference.value],
            xerr=[[100 * max(share.value - share.low, 0)], [100 * max(share.high - share.value, 0)]],
            yerr=[[max(difference.value - difference.low, 0)], [max(difference.high - difference.value, 0)]],
            label=name,
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            capsize=3,
        )
    *_, baseline, subject = next(iter(upstreams.values())).rates
    axes.axhline(0, color="#7a8288", linewidth=0.8)
    axes.set_xlabel("variance between utterances explained by the frame index, last layer (%)")
    axes.set_ylabel(f"WER of {subject} minus {baseline} (points)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def _pack_curve(curve: Curve) -> dict[str, Any]:
    return {"updates": curve.updates.tolist(), "wer": curve.values.tolist()}


def _unpack_curve(packed: Mapping[str, Any]) -> Curve:
    updates = np.array(packed["updates"])
    return Curve(updates, np.array(packed["wer"]), np.full(len(updates), np.nan))


def _options_table(curves: Mapping[str, Curve]) -> Table:
    rows = [
        [
            name,
            mean_cell(curve.values[:, -1].tolist()),
            mean_cell(curve.values.min(axis=1).tolist()),
            mean_cell(mean_height(curve, start=curve.updates[0], end=curve.updates[-1]).tolist()),
        ]
        for name, curve in curves.items()
    ]
    span = [round(updates) for updates in next(iter(curves.values())).updates[[0, -1]]]
    return Table(["variant", f"after {span[1]} updates", "best", f"mean over updates {span[0]} to {span[1]}"], rows)


@dataclasses.dataclass(frozen=True)
class _Kind:
    pack: Callable[[Any], dict[str, Any]]
    unpack: Callable[[Mapping[str, Any]], Any]
    table: Callable[[Mapping[str, Any]], Table]


_KINDS = {
    POSITIONS: _Kind(dataclasses.asdict, _unpack_upstream, _positions_table),
    OPTIONS: _Kind(_pack_curve, _unpack_curve, _options_table),
}
