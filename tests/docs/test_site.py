"""The site of the documentation builds without a warning, and its pages hold what they promise."""

import os
import subprocess
import sys

import pytest
from places import ROOT

pytestmark = pytest.mark.pages

pytest.importorskip("mkdocs", reason="the site needs mkdocs-material and mkdocstrings")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # mkdocs-material prints an advertisement of its successor otherwise.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


def test_every_room_of_the_library_has_its_reference(site):
    pages = "".join(path.read_text(encoding="utf-8") for path in (site / "reference").rglob("index.html"))
    rooms = {path.stem for path in (ROOT / "espnet_plugins").iterdir() if path.name != "bin" and path.stem[0] != "_"}
    rooms -= {"py"}  # py.typed
    assert [room for room in sorted(rooms) if f'id="espnet_plugins.{room}' not in pages] == []


def test_examples_are_shown_as_code(site):
    page = (site / "reference" / "soft_dtw" / "index.html").read_text(encoding="utf-8")
    assert "<blockquote>" not in page
    assert "&gt;&gt;&gt;" in page


def test_the_notebook_is_a_page_with_its_code(site):
    page = (site / "first_steps" / "index.html").read_text(encoding="utf-8")
    assert "register_criterion" in page
    assert "highlight" in page
    assert 'href="first_steps/"' in (site / "index.html").read_text(encoding="utf-8")


def test_links_of_the_readme_lead_to_pages(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    for name in ("results", "architecture", "objectives", "contributing"):
        assert f'href="{name}/"' in page, name
