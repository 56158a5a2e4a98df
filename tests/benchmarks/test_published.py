"""RESULTS.md, the table of README.md and the pictures are what the stored scores give."""

import runpy

import pytest
from places import ROOT

from espnet_plugins.analysis.comparison.plots import curve_fingerprint
from pages.publication import picture_name, read_archives

pytestmark = pytest.mark.skipif(not any((ROOT / "results").glob("*.json.xz")), reason="no scores are published yet")


def test_pages():
    for path, text in runpy.run_path(str(ROOT / "benchmarks" / "results.py"))["pages"]().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run benchmarks/results.py"


def test_pictures():
    from PIL import Image

    for name, content in read_archives(ROOT / "results").items():
        with Image.open(ROOT / picture_name(name)) as picture:
            assert picture.info["Description"] == curve_fingerprint(content.curves, content.measure), (
                "run benchmarks/results.py"
            )


def test_archives_are_small():
    sizes = [path.stat().st_size for path in (ROOT / "results").glob("*.json.xz")]
    assert max(sizes) < 1e6
