"""Check every option before any work starts."""

from __future__ import annotations

import argparse

from local.common.recipe import (
    Recipe,
    add_common_arguments,
    add_resume_argument,
    add_run_arguments,
    resume_from_args,
    runs_from_args,
)
from local.common.steps import log, run_main


def main() -> None:
    """Fail on a wrong option; say in one line what will be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    args = add_resume_argument(add_run_arguments(add_common_arguments(parser))).parse_args()
    recipe = Recipe.from_args(args)
    resume_from_args(args)
    names = " ".join(run.name for run in runs_from_args(recipe, args))
    log(f"preset {recipe.name}, {recipe.nj} processes, {recipe.ngpu} GPUs; runs: {names}")


if __name__ == "__main__":
    run_main(main)
