#!/usr/bin/env python3
"""Draw the pictures of docs/architecture.md and docs/soft_dtw.md from the tables beside this file into docs/images.

    docs/pictures/draw.py

The same input gives the same bytes, so that a test can compare them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "images"
_FILL, _EDGE, _INK, _PALE = "#e8eef7", "#3b6ea8", "#1b2733", "#7b8794"
_ACCENT, _ACCENT_FILL = "#b4531f", "#f8dcc8"
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
            _arrow(axes, (x + _WIDTH / 2, y), (u + _WIDTH / 2, v + _HEIGHT), _PALE)
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


class Strip(NamedTuple):
    """Rows of a cost matrix that one thread works on; step t holds the cells (row + lane, start + t - lane)."""

    row: int
    start: int
    steps: int


def cut_into_strips(rows: int, columns: int, *, lanes: int, band: float) -> list[Strip]:
    """The strips of one pair.

    Args:
        rows: Frames of x, at least 2.
        columns: Frames of y.
        lanes: Rows of a strip.
        band: What |i (columns - 1) - j (rows - 1)| may be in cell (i, j).

    Example:
        >>> cut_into_strips(40, 50, lanes=32, band=float("inf"))
        [Strip(row=0, start=0, steps=81), Strip(row=32, start=0, steps=57)]
    """
    strips = []
    for row in range(0, rows, lanes):
        last = min(row + lanes, rows) - 1
        start = min(j for j in range(columns) if row * (columns - 1) - j * (rows - 1) <= band)
        end = max(j for j in range(columns) if j * (rows - 1) - last * (columns - 1) <= band) + 1
        strips.append(Strip(row, start, end - start + last - row))
    return strips


def earliest_turns(strips: Sequence[Strip], *, lanes: int, chunk: int) -> list[list[int]]:
    """When each chunk of each strip can be computed, counted in chunks, with a thread for every strip.

    Example:
        >>> earliest_turns([Strip(0, 0, 200), Strip(32, 0, 200)], lanes=32, chunk=64)
        [[1, 2, 3, 4], [3, 4, 5, 6]]
    """
    turns: list[list[int]] = []
    for strip in strips:
        own: list[int] = []
        for t in range(0, strip.steps, chunk):
            end = min(t + chunk, strip.steps)
            waits = own[-1] if own else 0
            if turns:
                above = strips[len(turns) - 1]
                ready = [above.start + u + chunk - lanes + 1 for u in range(0, above.steps, chunk)]
                finished = next((k for k, column in enumerate(ready[:-1]) if column >= strip.start + end), -1)
                waits = max(waits, turns[-1][finished])
            own.append(waits + 1)
        turns.append(own)
    return turns


def _draw_strips(axes: Axes, title: str, table: Mapping[str, int], *, band: float, far: int) -> None:
    rows, columns, lanes, chunk = (table[key] for key in ("rows", "columns", "lanes", "chunk"))
    axes.set(xlim=(-16, columns + 2), ylim=(rows + 2, -12), aspect="equal")
    axes.axis("off")
    axes.text(0, -6, title, fontsize=8.5, color=_INK, va="center")
    axes.add_patch(Rectangle((0, 0), columns, rows, fc="#f1f2f4", ec=_PALE, lw=0.8))
    strips = cut_into_strips(rows, columns, lanes=lanes, band=band)
    turns = earliest_turns(strips, lanes=lanes, chunk=chunk)
    for number, (strip, own) in enumerate(zip(strips, turns, strict=True)):
        height = min(lanes, rows - strip.row)
        top, bottom = strip.row, strip.row + height
        inside = Rectangle((strip.start, top), strip.steps - height + 1, height, transform=axes.transData)
        axes.text(-3, top + height / 2, f"strip {number}", fontsize=7, color=_INK, rotation=90, ha="right", va="center")
        for k, turn in enumerate(own):
            left = strip.start + k * chunk
            right = min(left + chunk, strip.start + strip.steps)
            corners = [(left, top), (right, top), (right - height, bottom), (left - height, bottom)]
            shade = matplotlib.colormaps["Blues"](0.08 + 0.55 * (turn - 1) / far)
            part = axes.add_patch(Polygon(corners, fc=shade, ec="white", lw=1.2))
            part.set_clip_path(inside)
            low = max(left - height / 2, strip.start)
            high = min(right - height / 2, strip.start + strip.steps - height + 1)
            # What is left of the last chunk may be a corner.
            middle = ((low + high) / 2, top + height / 2) if high - low > 6 else (high - 4, bottom - 5)
            axes.text(*middle, str(turn), fontsize=7.5, color=_INK, ha="center", va="center")
        above = strips[number - 1] if number else strip
        for column in range(strip.start + 16, above.start + above.steps - lanes if number else 0, 32):
            _arrow(axes, (column, top - 5), (column, top + 6), _ACCENT)
    if band < float("inf"):
        for sign in (-1, 1):
            ends = [(i * (columns - 1) + sign * band) / (rows - 1) for i in (0, rows - 1)]
            (line,) = axes.plot(ends, [0, rows], color=_INK, lw=0.9, ls="--")
            line.set_clip_path(Rectangle((0, 0), columns, rows, transform=axes.transData))


def _draw_steps(axes: Axes) -> None:
    lanes, columns, step = 5, 9, 6
    axes.set(xlim=(-2.6, columns + 0.2), ylim=(lanes + 1.3, -2), aspect="equal")
    axes.axis("off")
    axes.text(-2.5, -1.6, "one strip, 5 of its 32 rows: the number of the step", fontsize=8.5, color=_INK, va="center")
    axes.add_patch(Rectangle((0, -1), columns, 1, fc=_ACCENT_FILL, ec=_ACCENT, lw=0.8))
    axes.text(columns / 2, -0.5, "last row of the strip above", fontsize=7.5, color=_ACCENT, ha="center", va="center")
    for lane in range(lanes):
        axes.text(-0.2, lane + 0.5, f"lane {lane}", fontsize=7, color=_INK, ha="right", va="center")
        for column in range(columns):
            t = lane + column
            done = {True: _FILL, False: "white"}[t < step]
            axes.add_patch(Rectangle((column, lane), 1, 1, fc=_EDGE if t == step else done, ec=_PALE, lw=0.6))
            ink = "white" if t == step else _INK
            axes.text(column + 0.5, lane + 0.5, str(t), fontsize=7.5, color=ink, ha="center", va="center")
    for right, down in ((-1, 0), (0, -1), (-1, -1)):
        start = (3.5 + 0.3 * right, 3.5 + 0.3 * down)
        _arrow(axes, start, (3.5 + 0.75 * right, 3.5 + 0.75 * down), _ACCENT)
    text = "dark: step 6, one vector; its cells need those of steps 5 and 4 (arrows)"
    axes.text(-2.5, lanes + 0.6, text, fontsize=7.5, color=_INK, va="center")


def strips_picture(table: Mapping[str, int]) -> Figure:
    """A cost matrix in strips, without and with a band, and the anti-diagonal steps inside one.

    Args:
        table: lanes (rows of a strip), chunk (steps between two messages to the strip below), and a matrix to draw:
            rows, columns, more than rows, and bandwidth, in rows.
    """
    figure, axes = _canvas(10.6, 5.9, "Strips and steps of the CPU kernel, forward pass")
    axes.set_zorder(-1)
    rows, columns = table["rows"], table["columns"]
    everything, band = float("inf"), table["bandwidth"] * (columns - 1)
    strips = cut_into_strips(rows, columns, lanes=table["lanes"], band=everything)
    far = max(map(max, earliest_turns(strips, lanes=table["lanes"], chunk=table["chunk"])))
    size = f"{rows} x {columns} cells"
    _draw_strips(figure.add_axes((0.01, 0.47, 0.48, 0.43)), f"{size}, no band", table, band=everything, far=far)
    title = f"{size}, bandwidth {table['bandwidth']}"
    _draw_strips(figure.add_axes((0.505, 0.47, 0.48, 0.43)), title, table, band=band, far=far)
    _draw_steps(figure.add_axes((0.01, 0.02, 0.46, 0.43)))
    notes = [
        f"A strip is {table['lanes']} rows, the last one what is left. A thread works on one strip,",
        f"{table['chunk']} steps at a time: a leaning block is such a chunk.",
        "",
        "Orange: a chunk waits until the last row of the strip above is ready",
        "over its columns; nothing else passes between strips.",
        "",
        "Number: the earliest turn of a chunk. Equal numbers may run at the",
        "same time, so one long pair keeps as many threads busy as there are",
        "equal numbers; other pairs fill the rest.",
        "",
        "Band (dashed): a strip begins and ends where its rows meet the band;",
        "gray is never visited. Cells of a chunk beyond the band are masked.",
        "In a narrow band a strip has to wait for all of the one above.",
        "",
        "The backward pass runs the same blocks from last to first, and what",
        "flows up from a first row takes the place of the last row.",
    ]
    for k, line in enumerate(notes):
        axes.text(5.35, 2.55 - 0.155 * k, line, fontsize=8, color=_INK, va="center")
    return figure


def pictures() -> dict[str, Figure]:
    """Every picture by the name of its file."""
    buildings: dict[str, Any] = yaml.safe_load((HERE / "rooms.yaml").read_text(encoding="utf-8"))
    ways: dict[str, Any] = yaml.safe_load((HERE / "ways.yaml").read_text(encoding="utf-8"))
    strips: dict[str, int] = yaml.safe_load((HERE / "strips.yaml").read_text(encoding="utf-8"))
    made = {"soft_dtw_strips.svg": strips_picture(strips)}
    made |= {f"rooms_{name.replace('.', '_')}.svg": rooms_picture(name, rooms) for name, rooms in buildings.items()}
    return made | {f"way_{name}.svg": way_picture(way["title"], way["rows"]) for name, way in ways.items()}


def main() -> None:
    """Write the pictures."""
    with matplotlib.rc_context({"svg.hashsalt": "rooms", "svg.fonttype": "none", "font.family": "sans-serif"}):
        for name, figure in pictures().items():
            figure.savefig(IMAGES / name, format="svg", metadata={"Date": None, "Creator": None})
            print(IMAGES / name)


if __name__ == "__main__":
    main()
