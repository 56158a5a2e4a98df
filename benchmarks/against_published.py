#!/usr/bin/env python3
"""An experiment against the published one of the same preset: does another stack or machine find the same error rates?

    benchmarks/against_published.py NAME EXP

NAME is an archive of results/, EXP an experiment directory of the recipe after stage 7 with the same test sets. Systems
that both have are compared, over the seeds that each has: both rates and their difference, with the 95 % interval of a
bootstrap over utterances (the same ones in both) and seeds.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

from espnet_plugins.analysis.comparison.comparisons import interval_cell
from espnet_plugins.analysis.comparison.experiments import read_experiments
from espnet_plugins.analysis.comparison.statistics import bootstrap_difference, bootstrap_rate, stack_errors
from espnet_plugins.analysis.comparison.tables import Table, datasets
from espnet_plugins.analysis.report.archive import SUFFIX, read_archive
from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.analysis.scoring.names import declare, label, read_objectives
from espnet_plugins.analysis.scoring.scores import ScoreError, Scores, group_seeds

ROOT = Path(__file__).resolve().parents[1]


def compare(published: Scores, found: Scores) -> Table:
    """A row for each system and test set that both have.

    Raises:
        ScoreError: When they have no system in common, or a set with other utterances.
    """
    old, new = group_seeds(published), group_seeds(found)
    common = [name for name in old if name in new]
    if not common:
        raise ScoreError("no system is in both")
    rows = []
    for name in common:
        for dataset in datasets(found):
            before, lengths = stack_errors([published[system][dataset] for system in old[name]])
            after, same = stack_errors([found[system][dataset] for system in new[name]])
            if lengths.tolist() != same.tolist():
                raise ScoreError(f"{dataset} has other utterances in the two")
            rates = [bootstrap_rate(errors, lengths) for errors in (before, after)]
            cells = [f"{rate.value:.1f} [{rate.low:.1f}, {rate.high:.1f}]" for rate in rates]
            difference = interval_cell(bootstrap_difference(before, after, lengths))
            rows.append([label(name), f"{len(before)}, {len(after)}", dataset, *cells, difference])
    return Table(["system", "seeds", "test set", "published", "found", "difference"], rows)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of an archive in results/")
    parser.add_argument("experiment", type=Path, help="an experiment directory after stage 7")
    args = parser.parse_args()
    archive = ROOT / "results" / f"{args.name}{SUFFIX}"
    if not archive.is_file():
        parser.error(f"{archive}: no such file")
    declare(read_objectives(ROOT / "egs" / "voicebank_librimix" / "conf" / "objectives"))
    try:
        table = compare(read_archive(archive).scores, read_experiments([args.experiment])[0])
    except (ScoreError, OSError) as error:
        parser.error(str(error))
    print(table.markdown())
    environment = describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z"))
    print("", *(f"{what}: {value}" for what, value in environment.items()), sep="\n")


if __name__ == "__main__":
    main()
