"""What a repository publishes of its results, written from archives alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from espnet_plugins.analysis.comparison.tables import word_error_summary
from espnet_plugins.analysis.report.archive import SUFFIX, read_archive
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.results import render_results
from espnet_plugins.analysis.scoring.scores import ScoreError
from pages.rotation import join_rotation
from pages.studies import Study

_FOLD = re.compile(r"_fold\d+$")
_STUDY = re.compile(r"^<!-- study (\w+) -->$", re.MULTILINE)


def without_fold(name: str) -> str:
    """The name that the folds of an experiment share.

    Example:
        >>> without_fold("digits_fold2"), without_fold("mini")
        ('digits', 'mini')
    """
    return _FOLD.sub("", name)


def read_archives(folder: Path) -> dict[str, Content]:
    """Read the archives of a folder.

    Args:
        folder: Holds NAME.json.xz, or NAME_foldN.json.xz for experiments that differ in the test speakers.

    Returns:
        NAME -> content, by name; folds are joined.

    Raises:
        ScoreError: When there are none, one is broken, or an experiment stands beside its folds.
    """
    groups: dict[str, dict[str, Content]] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        name = path.name.removesuffix(SUFFIX)
        groups.setdefault(without_fold(name), {})[name] = read_archive(path)
    if not groups:
        raise ScoreError(f"no archives of scores in {folder}")
    return dict(_as_one(name, members) for name, members in groups.items())


def _as_one(name: str, members: Mapping[str, Content]) -> tuple[str, Content]:
    if len(members) == 1:
        return next(iter(members.items()))
    if name in members:
        raise ScoreError(f"{name}{SUFFIX} stands beside its folds ({', '.join(members)}): remove the one or the others")
    title = f"Results of preset {name}, {len(members)} folds with test speakers of their own"
    return name, join_rotation(members, title=title)


def picture_name(name: str, what: str = "curves") -> str:
    """Where a picture of an experiment is, from the root of the repository; `what` is "curves" or "probe"."""
    return f"docs/images/{name}_{what}.png"


def read_studies(folder: Path) -> dict[str, Study]:
    """Read NAME.json of a folder.

    Returns:
        NAME -> study, by name.

    Raises:
        ScoreError: When one is broken.
    """
    return {path.stem: Study.read(path) for path in sorted(folder.glob("*.json"))}


def with_studies(text: str, studies: Mapping[str, Study]) -> str:
    """Put the tables of studies into a text.

    Args:
        text: Markdown in which `<!-- study NAME -->` stands on a line of its own.
        studies: Name -> study.

    Returns:
        The text, a table in the place of each mark.

    Raises:
        ScoreError: When a mark names no study, or a study has no mark.
    """
    wanted = _STUDY.findall(text)
    if odd := set(wanted) ^ set(studies):
        raise ScoreError(f"marks `<!-- study NAME -->` and studies differ in: {', '.join(sorted(odd))}")
    return _STUDY.sub(lambda mark: studies[mark[1]].markdown(), text)


def results_document(reading: str, contents: Mapping[str, Content], studies: Mapping[str, Study]) -> str:
    """Write the repository's RESULTS.md.

    Args:
        reading: What a person says about the results, as Markdown; stands first, with marks for the studies.
        contents: Name -> content.
        studies: Name -> study.

    Returns:
        The text: the reading, then every experiment one heading level lower than alone.

    Raises:
        ScoreError: When marks and studies differ.
    """
    parts = [with_studies(reading.strip(), studies)]
    for name, content in contents.items():
        text = render_results(content, picture=picture_name(name), probe_picture=picture_name(name, "probe"))
        parts.append(re.sub(r"^#", "##", text, flags=re.MULTILINE).strip())
    return "\n\n".join(parts) + "\n"


def with_table(text: str, name: str, content: Content) -> str:
    """Replace the table of an experiment in a page.

    Args:
        text: The page, in which `<!-- table NAME -->` and `<!-- end of table -->` stand once each.
        name: The experiment's name.
        content: Its content.

    Returns:
        The page with the word error rates between the two.

    Raises:
        ScoreError: When the marks are not there.
    """
    table = f"```\nWord error rate (%)\n{word_error_summary(content.scores).plain()}\n```"
    pattern = rf"(<!-- table {re.escape(name)} -->\n).*?(\n<!-- end of table -->)"
    page, count = re.subn(pattern, lambda marks: marks[1] + table + marks[2], text, flags=re.DOTALL)
    if count != 1:
        raise ScoreError(f"'<!-- table {name} -->' and '<!-- end of table -->' must stand in the page once")
    return page
