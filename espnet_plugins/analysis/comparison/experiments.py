"""Experiments on disk: scores and curves of one, or of several that share their references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from espnet_plugins.analysis.comparison.curves import Curve, choose_measure, merge_seeds, read_curve
from espnet_plugins.analysis.scoring.names import REFERENCE_SYSTEMS, table_order
from espnet_plugins.analysis.scoring.scores import (
    ScoreError,
    Scores,
    SetScore,
    group_seeds,
    read_scores,
)

CurveTables = dict[str, dict[str, np.ndarray]]
T = TypeVar("T")


def merge_curves(tables: CurveTables) -> tuple[dict[str, Curve], str]:
    """Gather the runs of each configuration into one curve.

    Args:
        tables: System -> what read_curve() gave.

    Returns:
        Configuration -> curve, and the measure that the curves hold; nothing and "" without runs.
    """
    if not tables:
        return {}, ""
    measure = choose_measure(list(tables.values()))
    groups = group_seeds(tables)
    return {name: merge_seeds([tables[run] for run in runs], measure) for name, runs in groups.items()}, measure


def read_experiments(folders: Sequence[Path]) -> tuple[Scores, CurveTables]:
    """Read the scores and curves of one or several experiments.

    Args:
        folders: Experiment directories, each with `score/` and perhaps `runs/<system>/curve.csv`.

    Returns:
        Scores and curves by system. A run whose name stands for something else in another experiment gets
        the name of its directory before its own.

    Raises:
        ScoreError: When something is missing or broken, when directories share a name, or when the
            references differ: then the runs start from different models or meet different test sets, and
            a difference between them would not be one between objectives.
    """
    if len({folder.resolve().name for folder in folders}) < len(folders):
        raise ScoreError("two of the experiments have the same name: rename a directory")
    read = {folder.resolve().name: read_scores(folder / "score") for folder in folders}
    first, *others = read
    for name in others:
        _check_references(read[first], read[name], first, name)
    scores: dict[str, dict[str, SetScore]] = {}
    curves: CurveTables = {}
    for folder in folders:
        experiment = folder.resolve().name
        for system, sets in read[experiment].items():
            rivals = [by_system[system] for by_system in read.values() if system in by_system]
            known = system if all(rival == sets for rival in rivals) else f"{experiment}/{system}"
            scores[known] = sets
            path = folder / "runs" / system / "curve.csv"
            if path.exists():
                curves[known] = read_curve(path)
    return _in_order(scores), _in_order(curves)


def _in_order(by_system: dict[str, T]) -> dict[str, T]:
    return {system: by_system[system] for system in sorted(by_system, key=table_order)}


def _check_references(one: Scores, other: Scores, name: str, other_name: str) -> None:
    for system in REFERENCE_SYSTEMS:
        if one.get(system) != other.get(system):
            raise ScoreError(
                f"'{system}' has other scores in {name} than in {other_name}: the two do not share their "
                "test sets, front-end and recognizer. Compare each of them alone."
            )
