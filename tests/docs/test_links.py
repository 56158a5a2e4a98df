"""Every link of a page leads to something that is there, and files of the code that a page names exist."""

import re

import pytest
from places import RECIPE, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "RESULTS.md", RECIPE / "README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
# Pages name files as seen from the repository, from the recipe, or from a room they are about.
BASES = [ROOT, RECIPE, RECIPE / "local", ROOT / "espnet_plugins", ROOT / "espnet_plugins" / "analysis"]
# The places of code: a path that begins with one of them is meant to be in the repository.
OURS = {"espnet_plugins", "egs", "benchmarks", "tests", "tools", "docs", "local", "conf", "results"}
OURS |= {"common", "jobs", "corpora", "stages", "pipeline"}
# What a reader is to write or to find elsewhere.
ELSEWHERE = {
    "egs/voicebank_librimix/dump/mini/train",
    "conf/objectives/ssl_absolute.yaml",
    "conf/queue.conf",
    "conf/slurm.conf",
}


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def missing_files(page):
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)):
        for word in code.split():
            path = word.strip("(),:;").partition("::")[0]
            # NAME, PRESET, <x> and * stand for something else.
            ours = path.split("/")[0] in OURS and not re.search(r"[A-Z]{3}|[*<{$]", path)
            if "/" in path and ours and path not in ELSEWHERE and not any((base / path).exists() for base in BASES):
                yield path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_files_are_there(page):
    assert list(broken_links(page)) == []
    assert list(missing_files(page)) == []


def test_what_is_not_there_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](page.md#one-two) [b](#three) [c](gone.md) `conf/gone.yaml` `conf/slurm.yaml`\n")
    assert list(broken_links(page)) == ["#three", "gone.md"]
    assert list(missing_files(page)) == ["conf/gone.yaml"]
