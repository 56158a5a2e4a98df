"""RESULTS.md, the table of README.md and the pictures are what the stored scores give."""

import runpy

import pytest
from places import RECIPE, ROOT

from espnet_plugins.analysis.comparison.plots import curve_fingerprint
from espnet_plugins.analysis.comparison.tables import (
    RATES,
    datasets,
    error_table,
    quality_table,
    word_error_summary,
)
from espnet_plugins.analysis.scoring.names import declare, read_objectives
from pages import publication
from pages.publication import picture_name

pytestmark = [
    pytest.mark.pages,
    pytest.mark.skipif(not any((ROOT / "results").glob("*.json.xz")), reason="no scores are published yet"),
]


@pytest.fixture(autouse=True)
def objectives():
    """The recipe's objectives are known, as benchmarks/results.py makes them, in whatever order tests run."""
    declare(read_objectives(RECIPE / "conf" / "objectives"))


@pytest.fixture(scope="module")
def contents():
    """The archives, read once: their intervals take half a minute."""
    return publication.read_archives(ROOT / "results")


def test_pages(contents, monkeypatch):
    monkeypatch.setattr(publication, "read_archives", lambda folder: contents)
    for path, text in runpy.run_path(str(ROOT / "benchmarks" / "results.py"))["pages"]().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run benchmarks/results.py"


def test_results_are_read_in_a_hurry():
    """The page that one opens first is short, and so is the table on the front page."""
    assert len((ROOT / "RESULTS.md").read_text(encoding="utf-8").splitlines()) <= 250
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("<!-- table mini -->")[2].partition("<!-- end of table -->")[0]
    assert len(table.strip().splitlines()) <= 3 + 1 + 8 + 1


def test_every_table_of_every_archive_is_on_its_page(contents):
    for name, content in contents.items():
        page = set((ROOT / "results" / f"{name}.md").read_text(encoding="utf-8").splitlines())
        tables = [content.rates, content.differences, content.by_head, word_error_summary(content.scores)]
        tables += [error_table(by_set, unit) for by_set in content.scores.values() for unit in RATES]
        tables += [quality_table(content.scores, dataset) for dataset in datasets(content.scores)]
        for table in tables:
            assert set(table.markdown().splitlines()) - {"||"} <= page


def test_pictures(contents):
    from PIL import Image

    for name, content in contents.items():
        with Image.open(ROOT / picture_name(name)) as picture:
            assert picture.info["Description"] == curve_fingerprint(content.curves, content.measure), (
                "run benchmarks/results.py"
            )


def test_archives_are_small():
    sizes = [path.stat().st_size for path in (ROOT / "results").glob("*.json.xz")]
    assert max(sizes) < 1e6
