#!/usr/bin/env python3
"""Compare the systems of one or several experiments: error rates, intervals, convergence.

    benchmarks/compare.py EXP... [--out DIR]

Objectives are called as the recipe's conf/objectives/ and those of --conf FOLDER.. say.

EXP is an experiment directory of the recipe after stage 7, e.g. egs/voicebank_librimix/exp/mini. Experiments side by
side share their test sets, front-end and recognizer; folds (NAME_fold1, NAME_fold2, ...) are joined to one.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from espnet_plugins.analysis.comparison.convergence import convergence_table
from espnet_plugins.analysis.comparison.experiments import merge_curves, read_experiments
from espnet_plugins.analysis.comparison.plots import save_curves
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.analysis.report.html_report import render_report
from espnet_plugins.analysis.report.results import render_results
from espnet_plugins.analysis.scoring.names import declare, read_objectives
from espnet_plugins.atomic import atomic_path, write_text
from pages.publication import without_fold
from pages.rotation import join_rotation

RECIPE_CONF = Path(__file__).resolve().parents[1] / "egs" / "voicebank_librimix" / "conf"


def read_content(folders: list[Path]) -> Content:
    """Read the experiments; folds are joined."""
    names = [folder.resolve().name for folder in folders]
    whole = {without_fold(name) for name in names}
    if len(folders) > 1 and len(whole) == 1 and not whole & set(names):
        folds = {name: read_one(name, [folder]) for name, folder in zip(names, folders, strict=True)}
        return join_rotation(folds, title=f"Results of {whole.pop()}, {len(folds)} folds")
    return read_one(f"Comparison of {', '.join(names)}", folders)


def read_one(title: str, folders: list[Path]) -> Content:
    """Read experiments on the same test sets."""
    scores, tables = read_experiments(folders)
    curves, measure = merge_curves(tables)
    return Content(
        title=title,
        scores=scores,
        environment=describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z")),
        curves=curves,
        measure=measure,
    )


def write(content: Content, out: Path) -> None:
    """Write RESULTS.md, report.html and, where there are curves, curves.png."""
    write_text(out / "RESULTS.md", render_results(content))
    write_text(out / "report.html", render_report(content))
    if content.curves:
        with atomic_path(out / "curves.png") as temporary:
            save_curves(content.curves, content.measure, temporary)


def main() -> None:
    """Print the tables; write the report where --out says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+", type=Path, metavar="EXP", help="experiment directories")
    parser.add_argument("--out", type=Path, help="where to write RESULTS.md, report.html and curves.png")
    parser.add_argument("--conf", nargs="*", type=Path, default=[], help="folders of configurations, with objectives/")
    args = parser.parse_args()
    try:
        for folder in (RECIPE_CONF, *args.conf):
            declare(read_objectives(folder / "objectives"))
        content = read_content(args.experiments)
        print("Word error rate (%) with 95 % interval\n" + content.rates.plain())
        if content.differences.rows:
            print("\nDifferences, per cent absolute (* interval excludes zero)\n" + content.differences.plain())
        if content.comparable:
            print("\nConvergence\n" + convergence_table(content.curves, content.measure).plain())
        if args.out:
            write(content, args.out)
            print(f"\nReport: {args.out / 'report.html'}")
    except (ValueError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
