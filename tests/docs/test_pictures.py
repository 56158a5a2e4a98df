"""The pictures of the architecture show what their tables say."""

import importlib.util
import re

import pytest
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
