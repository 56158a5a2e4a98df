"""The pictures show what their tables say, and what the code does."""

import importlib.util
import re
from itertools import pairwise

import numpy as np
import pytest
import yaml
from places import ROOT

SCRIPT = ROOT / "docs" / "pictures" / "draw.py"


@pytest.fixture(scope="module")
def draw():
    spec = importlib.util.spec_from_file_location("draw", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(svg):
    return sorted(re.findall(r">([^<>]+)</text>", svg))


def test_committed_pictures_are_those_of_the_tables(draw, tmp_path, monkeypatch):
    monkeypatch.setattr(draw, "IMAGES", tmp_path)
    draw.main()
    for path in sorted(tmp_path.iterdir()):
        committed = ROOT / "docs" / "images" / path.name
        assert words(committed.read_text("utf-8")) == words(path.read_text("utf-8")), f"{path.name}: run {SCRIPT.name}"


def test_a_room_stands_above_what_it_imports(draw):
    levels = draw.floors({"roof": ["", "wall"], "wall": ["", "ground"], "ground": ["", ""]})
    assert levels == {"ground": 0, "wall": 1, "roof": 2}


@pytest.fixture(scope="module")
def kernels():
    pytest.importorskip("numba", reason="the CPU kernels need it")
    from espnet_plugins.soft_dtw.backends import cpu_kernels

    return cpu_kernels


def test_drawn_sizes_are_those_of_the_kernel(kernels):
    table = yaml.safe_load((SCRIPT.parent / "strips.yaml").read_text("utf-8"))
    assert (table["lanes"], table["chunk"]) == (kernels.LANES, kernels.CHUNK)


@pytest.mark.parametrize(
    ("rows", "columns", "band"),
    [(110, 256, 256 * 110), (110, 256, 16 * 255), (70, 33, 5 * 69), (33, 2, 40), (64, 64, 0)],
)
def test_drawn_strips_are_those_of_the_kernel(draw, kernels, rows, columns, band):
    n, m, half_width = (np.array([number], np.int64) for number in (rows, columns, band))
    strips = kernels.strip_table(n, m, half_width, 0)[:, 1:4]
    assert strips.tolist() == [list(strip) for strip in draw.cut_into_strips(rows, columns, lanes=32, band=band)]


def test_a_chunk_waits_for_the_columns_above_it(draw):
    strips = draw.cut_into_strips(96, 256, lanes=32, band=float("inf"))
    turns = draw.earliest_turns(strips, lanes=32, chunk=64)
    for above, own in pairwise(turns):
        # 64 steps bring the last of 32 rows 33 columns far, so that a strip starts two chunks behind.
        assert own == [turn + 2 for turn in above]
