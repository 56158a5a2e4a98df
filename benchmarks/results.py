#!/usr/bin/env python3
"""Write RESULTS.md, results/*.md, the table of README.md and the pictures in docs/images from the scores in results/.

    benchmarks/results.py                   everything, from the scores in the repository
    benchmarks/results.py --adopt FROM...   take over scores first: of experiments (egs/voicebank_librimix/exp/PRESET)
                                            and of studies (DIR/positions.json, DIR/sensitivity.json)
    benchmarks/results.py --add FROM...     add the runs of experiments, such as further seeds, to those in results/

benchmarks/from_scratch.sh makes all of these again. What a person says about the results stands in results/reading.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from espnet_plugins.analysis.comparison.plots import save_curves
from espnet_plugins.analysis.probe.figure import plot_probe
from espnet_plugins.analysis.report.archive import SUFFIX, read_archive, write_archive
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.scoring.names import declare, read_objectives
from espnet_plugins.analysis.scoring.scores import ScoreError
from espnet_plugins.atomic import atomic_path, write_text
from pages.publication import (
    experiment_page,
    picture_name,
    read_archives,
    read_studies,
    results_document,
    with_table,
)
from pages.seeds import join_seeds
from pages.studies import POSITIONS, Study, plot_positions

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
STUDIES = RESULTS / "studies"
# The table of this experiment stands in README.md.
FRONT_PAGE = "mini"
# RESULTS.md begins with this one.
OPENING = "whisper_layers"


# What the archives of before 0.2 do not say of their objectives.
declare(read_objectives(ROOT / "egs" / "voicebank_librimix" / "conf" / "objectives"))


def adopt(source: Path) -> None:
    """Copy the archive of an experiment into results/, under the experiment's name, or a study into results/studies."""
    if source.suffix == ".json":
        Study.read(source)
        target = STUDIES / source.name
    else:
        target = _target(source)
        content = _experiment(source)
    target.parent.mkdir(exist_ok=True)
    with atomic_path(target) as temporary:
        if source.suffix == ".json":
            shutil.copyfile(source, temporary)
        else:
            write_archive(content, temporary)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


def add(source: Path) -> None:
    """Add the runs of an experiment to the archive of its name in results/."""
    target = _target(source)
    content = join_seeds(read_archive(target), _experiment(source))
    with atomic_path(target) as temporary:
        write_archive(content, temporary)
    print(f"{target}: {len(content.scores)} systems")


def _target(source: Path) -> Path:
    return RESULTS / f"{source.resolve().name}{SUFFIX}"


def _experiment(source: Path) -> Content:
    """The archive of an experiment's folder, its command as it is published."""
    content = read_archive(source / f"results{SUFFIX}")
    environment = {key: published(value) if key == "command" else value for key, value in content.environment.items()}
    return dataclasses.replace(content, environment=environment)


def published(command: str) -> str:
    """A command line without the folders of the machine that it ran on.

    Example:
        >>> published("/clone/run.sh --preset whisper_layers --noise /data/noise --expdir /scratch/exp --nj 2")
        './egs/voicebank_librimix/run.sh --preset whisper_layers --noise DIR --nj 2'
    """
    command = re.sub(r"^/\S*/run\.sh(?= )", "./egs/voicebank_librimix/run.sh", command)
    command = re.sub(r" --(?:downloads|datadir|dumpdir|expdir|local_scratch)[ =](?:'[^']*'|\S+)", "", command)
    return shlex.join("DIR" if word.startswith("/") else word for word in shlex.split(command))


def pages() -> dict[Path, str]:
    """The text of every page that is made from scores."""
    archives = read_archives(RESULTS)
    contents = {name: archives[name] for name in sorted(archives, key=lambda name: (name != OPENING, name))}
    made = {ROOT / "RESULTS.md": results_document(_said("overview"), _said("studies"), contents, read_studies(STUDIES))}
    made |= {RESULTS / f"{name}.md": experiment_page(name, content, _said(name)) for name, content in contents.items()}
    if FRONT_PAGE in contents:
        path = ROOT / "README.md"
        made[path] = with_table(path.read_text("utf-8"), FRONT_PAGE, contents[FRONT_PAGE])
    return made


def _said(name: str) -> str:
    """What a person says about an experiment; nothing where there is no such file."""
    path = RESULTS / "reading" / f"{name}.md"
    return path.read_text("utf-8") if path.exists() else ""


def pictures() -> dict[Path, Callable[[Path], None]]:
    """What draws every picture that is made from scores."""
    made: dict[Path, Callable[[Path], None]] = {}
    for name, content in read_archives(RESULTS).items():
        if content.curves:
            made[ROOT / picture_name(name)] = partial(save_curves, content.curves, content.measure)
        if content.probe:
            made[ROOT / picture_name(name, "probe")] = partial(_save, plot_probe(content.probe))
    for name, study in read_studies(STUDIES).items():
        if study.kind == POSITIONS:
            made[ROOT / "docs" / "images" / f"{name}.png"] = partial(_save, plot_positions(study.variants))
    return made


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", dpi=150)


def main() -> None:
    """Write the pages and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adopt", nargs="+", type=Path, default=[], metavar="FROM", help="experiments and studies")
    parser.add_argument("--add", nargs="+", type=Path, default=[], metavar="FROM", help="experiments with further runs")
    args = parser.parse_args()
    try:
        for source in args.adopt:
            adopt(source)
        for source in args.add:
            add(source)
        for path, text in pages().items():
            write_text(path, text)
            print(path)
        for path, draw in pictures().items():
            with atomic_path(path) as temporary:
                draw(temporary)
            print(path)
    except (ScoreError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
