"""What a repository publishes of its results, written from archives alone."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from espnet_plugins.analysis.comparison.tables import word_error_summary
from espnet_plugins.analysis.report.answer import answer, convergence_answer, cost_answer
from espnet_plugins.analysis.report.archive import SUFFIX, read_archive
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.results import render_results
from espnet_plugins.analysis.scoring.names import split_seed
from espnet_plugins.analysis.scoring.scores import ScoreError, Scores
from pages.rotation import join_rotation
from pages.studies import Study

# At most eight rows of a configuration each.
_MAIN_SYSTEMS = ("clean", "noisy", "se", "multi_condition", "si_snr", "ssl_mse", "ssl_mse_pad", "ssl_soft_dtw")
_FOLD = re.compile(r"_fold\d+$")
# An option and the words of its value, unquoted: run.sh of before 0.2 noted what was typed without quotation marks.
_WORDS = re.compile(r"(--\w+) ((?:[^\s'\"-]\S*)(?: [^\s'\"-]\S*)+)")
_STUDY = re.compile(r"^<!-- study (\w+) -->$", re.MULTILINE)


def without_fold(name: str) -> str:
    """The name that the folds of an experiment share.

    Example:
        >>> without_fold("digits_fold2"), without_fold("mini")
        ('digits', 'mini')
    """
    return _FOLD.sub("", name)


def as_typed(command: str) -> str:
    """A command of `run.sh` with quotation marks around values of several words, so that it can be typed again.

    Example:
        >>> as_typed("./run.sh --seeds 0 1 2 --nj 2"), as_typed("./run.sh --seeds '0 1'")
        ('./run.sh --seeds "0 1 2" --nj 2', "./run.sh --seeds '0 1'")
        >>> as_typed("./run.sh --stage 5; ./run.sh --seeds 1 2")
        './run.sh --stage 5; ./run.sh --seeds "1 2"'
    """
    return "; ".join(_WORDS.sub(r'\1 "\2"', part) for part in command.split("; "))


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
        content = read_archive(path)
        if "command" in content.environment:
            made = {**content.environment, "command": as_typed(content.environment["command"])}
            content = dataclasses.replace(content, environment=made)
        groups.setdefault(without_fold(name), {})[name] = content
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


def summary(name: str, content: Content) -> str:
    """The section of an experiment in RESULTS.md: one table, three sentences made from the scores, one command.

    Args:
        name: The experiment's name.
        content: Its content.

    Returns:
        Markdown, headed on the second level.
    """
    said = []
    if content.subject is not None:
        found = answer(content.scores, content.subject)
        said.append(f"**{found.question}** {found.verdict}. {found.sentence}")
        if content.comparable and len(content.curves) > 1 and content.subject in content.curves:
            said.append(convergence_answer(content.curves, content.subject))
        if cost := cost_answer(content.costs, content.subject):
            said.append(cost)
    made = content.environment
    made_at = [f"{what} {made[key]}" for what, key in (("date", "date"), ("commit", "git commit")) if key in made]
    parts = [
        f"## `{name}`",
        content.rates.markdown(),
        "\n".join(f"- {sentence}" for sentence in said),
        f"```\n{made['command']}\n```" if "command" in made else "",
        " ".join(
            [
                f"All tables, differences, curves and settings: [results/{name}.md](results/{name}.md).",
                *([f"Reported: {', '.join(made_at)}."] if made_at else []),
            ]
        ),
    ]
    return "\n\n".join(filter(None, parts))


def results_document(overview: str, studied: str, contents: Mapping[str, Content], studies: Mapping[str, Study]) -> str:
    """Write the repository's RESULTS.md.

    Args:
        overview: What a person says about the results, as Markdown; stands first.
        studied: What a person says about the studies, with a mark for each; stands last.
        contents: Name -> content.
        studies: Name -> study.

    Returns:
        The text.

    Raises:
        ScoreError: When marks and studies differ.
    """
    summaries = [summary(name, content) for name, content in contents.items()]
    return "\n\n".join([overview.strip(), *summaries, with_studies(studied.strip(), studies)]).rstrip() + "\n"


def experiment_page(name: str, content: Content, reading: str) -> str:
    """Write results/NAME.md: every table of an experiment.

    Args:
        name: The experiment's name.
        content: Its content.
        reading: What a person says about it, as Markdown; may be empty.

    Returns:
        The text: that of the recipe's own report, with the reading behind the title.
    """
    pictures = {what: f"../{picture_name(name, what)}" for what in ("curves", "probe")}
    text = render_results(content, picture=pictures["curves"], probe_picture=pictures["probe"])
    title, _, rest = text.partition("\n\n")
    said = ["## Remarks", reading.strip()] if reading.strip() else []
    return "\n\n".join([title, *said, rest])


def main_systems(scores: Scores) -> Scores:
    """The systems of a short table: references, the strongest baselines, and this project's objectives."""
    return {
        system: sets
        for system, sets in scores.items()
        if re.sub(r"_(joint|se)$", "", split_seed(system)[0]) in _MAIN_SYSTEMS
    }


def with_table(text: str, name: str, content: Content) -> str:
    """Replace the table of an experiment in a page.

    Args:
        text: The page, in which `<!-- table NAME -->` and `<!-- end of table -->` stand once each.
        name: The experiment's name.
        content: Its content.

    Returns:
        The page with the word error rates of the main systems between the two.

    Raises:
        ScoreError: When the marks are not there.
    """
    table = f"```\nWord error rate (%)\n{word_error_summary(main_systems(content.scores)).plain()}\n```"
    pattern = rf"(<!-- table {re.escape(name)} -->\n).*?(\n<!-- end of table -->)"
    page, count = re.subn(pattern, lambda marks: marks[1] + table + marks[2], text, flags=re.DOTALL)
    if count != 1:
        raise ScoreError(f"'<!-- table {name} -->' and '<!-- end of table -->' must stand in the page once")
    return page
