"""Tables of convergence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from espnet_plugins.analysis.comparison.curves import MEASURES, Curve, common_thresholds, first_below, mean_height
from espnet_plugins.analysis.comparison.tables import Table, mean_cell, number
from espnet_plugins.analysis.scoring.names import label


def convergence_table(curves: Mapping[str, Curve], measure: str) -> Table:
    """How fast each configuration converges.

    Args:
        curves: Configuration -> development curve.
        measure: What the curves hold, one of MEASURES.

    Returns:
        A table with the area under each curve over the updates that all curves cover, and the updates and
        the time that the mean over runs takes down to common thresholds.
    """
    start = max(float(curve.updates[0]) for curve in curves.values())
    end = min(float(curve.updates[-1]) for curve in curves.values())
    thresholds = common_thresholds(list(curves.values()))
    name = MEASURES[measure]
    header = ["system", "runs", f"mean {name} over updates {start:g} to {end:g}", "first", "last"]
    for threshold in thresholds:
        header += [f"updates to {number(threshold)}", "seconds"]
    rows = []
    for configuration, curve in curves.items():
        row = [
            label(configuration),
            str(len(curve.values)),
            mean_cell(mean_height(curve, start=start, end=end).tolist()),
        ]
        row += [mean_cell(curve.values[:, i].tolist()) for i in (0, -1)]
        for threshold in thresholds:
            for positions in (curve.updates, curve.seconds):
                reached = first_below(positions, curve.mean, threshold)
                row.append("-" if reached is None else number(reached, 0))
        rows.append(row)
    return Table(header, rows)


def evaluation_table(curves: Mapping[str, Curve], measure: str, *, columns: int = 8) -> Table:
    """The development curve in numbers, denser at its start.

    Args:
        curves: Configuration -> development curve.
        measure: What the curves hold, one of MEASURES.
        columns: How many evaluations to show at most.

    Returns:
        One row for each configuration, one column for each number of updates at which all were evaluated.
    """
    shared = sorted(set.intersection(*(set(curve.updates.tolist()) for curve in curves.values())))
    if len(shared) > columns:
        # Geometric steps: what matters is how fast the first updates help.
        chosen = np.unique(np.geomspace(1, len(shared), columns).round().astype(int)) - 1
        shared = [shared[i] for i in chosen]
    rows = []
    for configuration, curve in curves.items():
        at = [int(np.flatnonzero(curve.updates == updates)[0]) for updates in shared]
        rows.append([label(configuration), *(mean_cell(curve.values[:, i].tolist()) for i in at)])
    return Table([f"{MEASURES[measure]} after updates", *(f"{updates:g}" for updates in shared)], rows)
