"""Stage 8: the table of results, the convergence curves, and the report."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence

from espnet_plugins.analysis.curves import Curve, choose_measure, merge_seeds, read_curve
from espnet_plugins.analysis.environment import describe_environment
from espnet_plugins.analysis.plots import plot_curves
from espnet_plugins.analysis.results import render_results
from espnet_plugins.analysis.scores import ScoreError, group_seeds, read_scores
from espnet_plugins.analysis.tables import Scores, word_error_summary
from local.config import Recipe, Run, add_common_arguments, add_run_arguments, runs_from_args
from local.score import SetScoring, scorings_from_args
from local.steps import RecipeError, Step, atomic_path, run_main
from local.train import joint_step

STAGE = 8


def report_step(recipe: Recipe, scorings: Sequence[SetScoring], runs: Sequence[Run]) -> Step:
    """The step that writes RESULTS.md and curves.png, with every score and every training as its input."""
    inputs = {}
    for scoring in scorings:
        step = scoring.step()
        inputs[f"{scoring.system.name}.{scoring.dataset}"] = (step.done, step.stage)
    for run in runs:
        training = joint_step(recipe, run)
        inputs[f"curve.{run.name}"] = (training.done, training.stage)
    return Step("report", stage=STAGE, out=recipe.expdir, inputs=inputs, outputs=("RESULTS.md", "curves.png"))


def read_curves(recipe: Recipe, runs: Sequence[Run]) -> tuple[dict[str, Curve], str]:
    """Read the development curves of the fine-tuned systems.

    Returns:
        Configuration -> curve, and the measure the curves hold.
    """
    tables = {run.name: read_curve(joint_step(recipe, run).out / "curve.csv") for run in runs}
    measure = choose_measure(list(tables.values()))
    return {
        name: merge_seeds([tables[seed] for seed in seeds], measure) for name, seeds in group_seeds(tables).items()
    }, measure


def write_report(recipe: Recipe, scores: Scores, runs: Sequence[Run], *, command: str) -> None:
    """Write RESULTS.md and curves.png into the experiment directory."""
    curves, measure = read_curves(recipe, runs)
    with atomic_path(recipe.expdir / "curves.png") as tmp:
        plot_curves(curves, measure).savefig(tmp, format="png", dpi=150)
    text = render_results(
        scores,
        curves,
        measure=measure,
        title=f"Results of preset {recipe.name}",
        environment=describe_environment(command, date=time.strftime("%F %T %Z")),
    )
    with atomic_path(recipe.expdir / "RESULTS.md") as tmp:
        tmp.write_text(text, encoding="utf-8")


def main() -> None:
    """Write the report where scores or curves changed, and print the word error rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(add_common_arguments(parser))
    parser.add_argument("--command", default=shlex.join(sys.argv), help="the command line that the report names")
    args = parser.parse_args()
    recipe, runs = Recipe.from_args(args), runs_from_args(args)
    scorings = scorings_from_args(recipe, args)
    step = report_step(recipe, scorings, runs)
    step.check_inputs()
    try:
        scores = read_scores(
            recipe.expdir / "score",
            systems=dict.fromkeys(scoring.system.name for scoring in scorings),
            datasets=recipe.preset["test"],
        )
        step.run(lambda: write_report(recipe, scores, runs, command=args.command))
    except ScoreError as error:
        raise RecipeError(str(error)) from error
    print("\nWord error rate (%)\n" + word_error_summary(scores).plain())
    print(f"\nReport: {recipe.expdir / 'RESULTS.md'}")


if __name__ == "__main__":
    run_main(main)
