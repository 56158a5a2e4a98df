"""Convergence: development results against updates, over seeds."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from espnet_plugins.analysis.scoring.scores import ScoreError

COLUMNS = ("epoch", "updates", "seconds", "valid_loss", "valid_cer_ctc", "valid_wer_ctc")
# The word error rate of a judge, where one decoded the development set with the models that a training kept; a loop of
# the judge counts as an utterance not understood.
JUDGED = "valid_wer_judge_loops_capped"
# With every word of a loop, as archives of before have it.
_JUDGED_IN_FULL = "valid_wer_judge"
# Of another scale for each objective.
LOSS = "valid_loss"
# What a curve can show, the most telling first, with the label of its axis.
MEASURES = {
    JUDGED: "development WER (%)",
    _JUDGED_IN_FULL: "development WER (%)",
    "valid_wer_ctc": "development WER (%)",
    "valid_cer_ctc": "development CER (%)",
    LOSS: "development loss",
}
# ESPnet records error rates as fractions.
_FACTORS = {name: 100.0 for name in MEASURES if name != LOSS}


@dataclasses.dataclass(frozen=True)
class Curve:
    """One measure against updates, one row for each seed.

    Args:
        updates: Number of updates at each evaluation, shape (N,), increasing.
        values: The measure, shape (S, N).
        seconds: Training time up to each evaluation, mean over seeds, shape (N,); nan where unknown.
    """

    updates: np.ndarray
    values: np.ndarray
    seconds: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean over seeds, shape (N,)."""
        return self.values.mean(axis=0)

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation over seeds, shape (N,); zero for one seed."""
        return self.values.std(axis=0, ddof=1) if len(self.values) > 1 else np.zeros(len(self.updates))


def read_curve(path: Path) -> dict[str, np.ndarray]:
    """Read the evaluations of one run.

    Args:
        path: A CSV file with the columns COLUMNS, and perhaps JUDGED; a field may be empty.

    Returns:
        Column -> values, shape (N,), nan where empty.

    Raises:
        ScoreError: When the file is missing, lacks a column, or its updates do not increase.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
            rows = [{JUDGED: "", _JUDGED_IN_FULL: "", **row} for row in rows]
            names = (*COLUMNS, JUDGED, _JUDGED_IN_FULL)
            table = {name: np.array([float(row[name]) if row[name] else np.nan for row in rows]) for name in names}
    except FileNotFoundError:
        raise ScoreError(f"no such curve: {path}") from None
    except OSError as error:
        raise ScoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ScoreError(f"{path} is not a curve with the columns {', '.join(COLUMNS)} ({error})") from error
    if not rows or not (np.diff(table["updates"]) > 0).all():
        raise ScoreError(f"{path}: updates must increase from row to row, and there must be one row at least")
    return table


def choose_measure(tables: Sequence[dict[str, np.ndarray]]) -> str:
    """The first of MEASURES that every run recorded at two evaluations or more.

    Raises:
        ScoreError: When there is none.
    """
    for measure in MEASURES:
        if tables and all(np.isfinite(table[measure]).sum() > 1 for table in tables):
            return measure
    raise ScoreError(
        f"the runs share none of {', '.join(MEASURES)} at two evaluations or more: a curve takes two epochs at least"
    )


def merge_seeds(tables: Sequence[dict[str, np.ndarray]], measure: str) -> Curve:
    """Bring the runs of one configuration onto one grid of updates.

    Args:
        tables: One per seed, as read_curve() gives them.
        measure: One of MEASURES; error rates become per cent.

    Returns:
        The curve on the updates of all seeds together, within the range that all of them cover; between
        two evaluations of a seed its value is interpolated linearly.

    Raises:
        ScoreError: When the seeds have no updates in common.
    """
    factor = _FACTORS.get(measure, 1.0)
    finite = [np.isfinite(table[measure]) for table in tables]
    return merge_curves(
        [
            Curve(table["updates"][keep], factor * table[measure][None, keep], table["seconds"][keep])
            for table, keep in zip(tables, finite, strict=True)
        ]
    )


def merge_curves(curves: Sequence[Curve]) -> Curve:
    """Bring the seeds of several curves of one configuration onto one grid of updates.

    Args:
        curves: Of one measure.

    Returns:
        The curve on the updates of all together, within the range that all of them cover, one row for each seed;
        between two evaluations the value is interpolated linearly.

    Raises:
        ScoreError: When they have no updates in common.

    Example:
        >>> one = Curve(np.array([10.0, 30.0]), np.array([[4.0, 2.0]]), np.array([1.0, 3.0]))
        >>> other = Curve(np.array([20.0, 40.0]), np.array([[5.0, 1.0]]), np.array([2.0, 4.0]))
        >>> both = merge_curves([one, other])
        >>> both.updates.tolist(), both.values.tolist()
        ([20.0, 30.0], [[3.0, 2.0], [5.0, 3.0]])
    """
    low, high = max(curve.updates[0] for curve in curves), min(curve.updates[-1] for curve in curves)
    grid = np.unique(np.concatenate([curve.updates for curve in curves]))
    grid = grid[(grid >= low) & (grid <= high)]
    if len(grid) == 0:
        raise ScoreError("the seeds of one configuration were evaluated at ranges of updates that do not meet")
    values = np.stack([np.interp(grid, curve.updates, row) for curve in curves for row in curve.values])
    seeds = [len(curve.values) for curve in curves]
    seconds = np.stack([np.interp(grid, curve.updates, curve.seconds) for curve in curves])
    return Curve(grid, values, np.average(seconds, axis=0, weights=seeds))


def first_below(positions: np.ndarray, values: np.ndarray, threshold: float) -> float | None:
    """Where a curve first reaches a threshold, interpolated linearly between evaluations.

    Args:
        positions: Updates or seconds, shape (N,).
        values: The measure, shape (N,).
        threshold: The value to reach from above.

    Returns:
        The position, or None when the curve never reaches it.

    Example:
        >>> first_below(np.array([0.0, 10.0, 20.0]), np.array([50.0, 30.0, 20.0]), 40.0)
        5.0
    """
    reached = np.flatnonzero(values <= threshold)
    if len(reached) == 0:
        return None
    i = int(reached[0])
    if i == 0:
        return float(positions[0])
    share = (values[i - 1] - threshold) / (values[i - 1] - values[i])
    return float(positions[i - 1] + share * (positions[i] - positions[i - 1]))


def mean_height(curve: Curve, *, start: float, end: float) -> np.ndarray:
    """Area under the curve between two numbers of updates, divided by their distance.

    Args:
        curve: The curve.
        start: Where the area begins; the same for all curves that are compared.
        end: Where it ends.

    Returns:
        Mean value of the measure over the span, one for each seed, shape (S,); lower is faster.

    Raises:
        ScoreError: When the span is empty or the curve does not cover it.

    Example:
        >>> curve = Curve(np.array([0.0, 10.0]), np.array([[50.0, 30.0]]), np.zeros(2))
        >>> mean_height(curve, start=0, end=10).tolist()
        [40.0]
    """
    first, last = curve.updates[0], curve.updates[-1]
    if not first <= start < end <= last:
        raise ScoreError(f"a curve over {first:g} to {last:g} updates has no area from {start:g} to {end:g}")
    inside = curve.updates[(curve.updates > start) & (curve.updates < end)]
    grid = np.concatenate([[start], inside, [end]])
    values = np.stack([np.interp(grid, curve.updates, row) for row in curve.values])
    return np.trapezoid(values, grid, axis=1) / (end - start)


def common_thresholds(curves: Sequence[Curve]) -> list[float]:
    """Thresholds that show convergence: half-way down, and the last level that every curve reaches.

    Args:
        curves: The curves to compare.

    Returns:
        Two values of the measure, the higher first. The lower one is the worst of the curves' best means;
        the other lies half-way between it and the lowest starting point.
    """
    reached = max(float(curve.mean.min()) for curve in curves)
    start = min(float(curve.mean[0]) for curve in curves)
    return [(start + reached) / 2, reached]
