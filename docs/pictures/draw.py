#!/usr/bin/env python3
"""Draw the pictures of docs/architecture.md from rooms.yaml and ways.yaml into docs/images.

    docs/pictures/draw.py

The same input gives the same bytes, so that a test can compare them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "images"
_FILL, _EDGE, _INK, _FAINT = "#e8eef7", "#3b6ea8", "#1b2733", "#7b8794"
_WIDTH, _HEIGHT = 2.3, 0.7


def floors(rooms: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The floor of each room: one above the highest room it may import.

    Example:
        >>> floors({"a": ["", ""], "b": ["", "a"], "c": ["", "a b"]})
        {'a': 0, 'b': 1, 'c': 2}
    """
    found: dict[str, int] = {}
    while len(found) < len(rooms):
        for room, (_, below) in rooms.items():
            if room not in found and all(name in found for name in below.split()):
                found[room] = max((found[name] + 1 for name in below.split()), default=0)
    return found


def _box(axes: Axes, x: float, y: float, name: str, text: str, *, height: float = _HEIGHT) -> None:
    style = "round,pad=0.02,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch((x, y), _WIDTH, height, boxstyle=style, fc=_FILL, ec=_EDGE, lw=1))
    axes.text(x + _WIDTH / 2, y + height - 0.24, name, ha="center", va="center", fontsize=10, weight="bold", color=_INK)
    middle = y + (height - 0.4) / 2 + 0.02
    axes.text(x + _WIDTH / 2, middle, text, ha="center", va="center", fontsize=7.5, color=_INK, linespacing=1.3)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, lw=0.8, color=color, shrinkA=0))


def _canvas(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    axes.text(0.2, height - 0.25, title, fontsize=11, weight="bold", color=_INK, va="center")
    return figure, axes


def rooms_picture(name: str, rooms: Mapping[str, Sequence[str]]) -> Figure:
    """Rooms on floors; an arrow leads to each room that one may import and does not reach through another."""
    levels = floors(rooms)
    rows = [[room for room in rooms if levels[room] == level] for level in range(max(levels.values()) + 1)]
    width = max(map(len, rows)) * (_WIDTH + 0.3) + 0.3
    figure, axes = _canvas(width, len(rows) * 1.3 + 0.5, name)
    place = {}
    for level, row in enumerate(rows):
        left = (width - len(row) * (_WIDTH + 0.3) + 0.3) / 2
        for k, room in enumerate(row):
            place[room] = (left + k * (_WIDTH + 0.3), level * 1.3 + 0.2)
            _box(axes, *place[room], room, rooms[room][0])
    reach: dict[str, set[str]] = {}
    for room in sorted(rooms, key=levels.__getitem__):
        direct = set(rooms[room][1].split())
        reach[room] = direct.union(*(reach[name] for name in direct)) if direct else set()
        for other in sorted(direct - set().union(*(reach[name] for name in direct), set())):
            (x, y), (u, v) = place[room], place[other]
            _arrow(axes, (x + _WIDTH / 2, y), (u + _WIDTH / 2, v + _HEIGHT), _FAINT)
    return figure


def way_picture(title: str, rows: Sequence[Sequence[str]]) -> Figure:
    """Boxes from left to right."""
    figure, axes = _canvas(len(rows) * (_WIDTH + 0.4) + 0.1, 1.7, title)
    for k, (name, text) in enumerate(rows):
        x = 0.2 + k * (_WIDTH + 0.4)
        _box(axes, x, 0.2, name, text, height=0.95)
        if k:
            _arrow(axes, (x - 0.4, 0.67), (x, 0.67), _EDGE)
    return figure


def pictures() -> dict[str, Figure]:
    """Every picture by the name of its file."""
    buildings: dict[str, Any] = yaml.safe_load((HERE / "rooms.yaml").read_text(encoding="utf-8"))
    ways: dict[str, Any] = yaml.safe_load((HERE / "ways.yaml").read_text(encoding="utf-8"))
    made = {f"rooms_{name.replace('.', '_')}.svg": rooms_picture(name, rooms) for name, rooms in buildings.items()}
    return made | {f"way_{name}.svg": way_picture(way["title"], way["rows"]) for name, way in ways.items()}


def main() -> None:
    """Write the pictures."""
    with matplotlib.rc_context({"svg.hashsalt": "rooms", "svg.fonttype": "none", "font.family": "sans-serif"}):
        for name, figure in pictures().items():
            figure.savefig(IMAGES / name, format="svg", metadata={"Date": None, "Creator": None})
            print(IMAGES / name)


if __name__ == "__main__":
    main()
