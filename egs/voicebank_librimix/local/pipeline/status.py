"""How far a run is: every part of every stage, its job, its progress."""

from __future__ import annotations

import argparse
import shutil

from local.common.recipe import Recipe
from local.common.steps import RecipeError, run_main
from local.jobs.processes import log_tail
from local.jobs.resources import load_cluster_config
from local.jobs.slurm import read_record, states
from local.pipeline.phases import Phase, phases
from local.pipeline.submit import add_cluster_arguments, jobs_folder


def rows(recipe: Recipe, todo: list[Phase]) -> list[tuple[str, str, str, str, str]]:
    """Collect stage, part, job, state and progress of every part.

    Args:
        recipe: The invocation.
        todo: Its phases.

    Returns:
        A row per part.
    """
    found = []
    for phase in todo:
        submitted = read_record(jobs_folder(recipe), phase.name)
        queue = _states(submitted.job) if submitted else {}
        for unit in phase.units:
            job, state, progress = "", "", ""
            if submitted and unit.name in submitted.array.names:
                task = submitted.array.names.index(unit.name) + 1
                job = f"{submitted.job}_{task}"
                state, reason = queue.get(task, ("", ""))
                code = submitted.exit_code(task)
                if code is not None:
                    state = "done" if code == 0 else f"failed ({code})"
                tail = log_tail(submitted.array.log_of(task), 1)
                progress = reason if state == "PENDING" else "".join(tail).strip()
            if unit.is_done():
                state = "done"
            stages = "+".join(map(str, phase.stages))
            found.append((stages, unit.name, job, state.lower() or "waiting", progress))
    return found


def _states(job: str) -> dict[int, tuple[str, str]]:
    try:
        return states(job)
    except RecipeError:
        return {}


def main() -> None:
    """Print the table."""
    args = add_cluster_arguments(argparse.ArgumentParser(description=__doc__)).parse_args()
    recipe = Recipe.from_args(args)
    table = [("stage", "part", "job", "state", "progress")]
    table += rows(recipe, phases(args, load_cluster_config()))
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    width = shutil.get_terminal_size((160, 24)).columns
    for row in table:
        line = "  ".join([*(cell.ljust(size) for cell, size in zip(row, widths, strict=False)), row[4]])
        print(line.rstrip()[:width])


if __name__ == "__main__":
    run_main(main)
