#!/usr/bin/env python3
"""Write RESULTS.md, the table of README.md and docs/images/*_curves.png from the scores in results/.

    benchmarks/results.py                  everything, from the scores in the repository
    benchmarks/results.py --adopt EXP...   take over the scores of experiments first, e.g. after
                                           egs/voicebank_librimix/run.sh --seeds "0 1 2"

What a person says about the results stands in results/reading.md.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from espnet_plugins.analysis.archive import SUFFIX, read_archive
from espnet_plugins.analysis.plots import save_curves
from espnet_plugins.analysis.probe.figure import plot_probe
from espnet_plugins.analysis.publication import picture_name, read_archives, results_document, with_table
from espnet_plugins.analysis.scores import ScoreError
from espnet_plugins.atomic import atomic_path, write_text

ROOT = Path(__file__).resolve().parents[1]
# The table of this experiment stands in README.md.
FRONT_PAGE = "mini"


def adopt(experiment: Path) -> None:
    """Copy the archive of an experiment into results/, under the experiment's name."""
    source = experiment / f"results{SUFFIX}"
    read_archive(source)
    target = ROOT / "results" / f"{experiment.resolve().name}{SUFFIX}"
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


def pages() -> dict[Path, str]:
    """The text of every page that is made from scores."""
    contents = read_archives(ROOT / "results")
    made = {ROOT / "RESULTS.md": results_document((ROOT / "results" / "reading.md").read_text("utf-8"), contents)}
    if FRONT_PAGE in contents:
        path = ROOT / "README.md"
        made[path] = with_table(path.read_text("utf-8"), FRONT_PAGE, contents[FRONT_PAGE])
    return made


def main() -> None:
    """Write the pages and pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adopt", nargs="+", type=Path, default=[], metavar="EXP", help="experiment directories")
    args = parser.parse_args()
    try:
        for experiment in args.adopt:
            adopt(experiment)
        for path, text in pages().items():
            write_text(path, text)
            print(path)
        for name, content in read_archives(ROOT / "results").items():
            if content.curves:
                save_curves(content, ROOT / picture_name(name))
                print(ROOT / picture_name(name))
            if content.probe:
                plot_probe(content.probe).savefig(ROOT / picture_name(name, "probe"), format="png", dpi=150)
                print(ROOT / picture_name(name, "probe"))
    except (ScoreError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
