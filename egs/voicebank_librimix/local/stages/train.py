"""Stages 3 to 5: the front-end, the recognizer, and their joint fine-tuning, through ESPnet's trainers."""

from __future__ import annotations

import csv
import dataclasses

from local.common.output import atomic_path
from local.common.recipe import Recipe
from local.common.stages import Stage
from local.common.steps import Step
from local.jobs.cores import threads_for
from local.jobs.processes import run_programs
from local.stages.espnet_commands import selected_model
from local.stages.front_end_weights import import_weights
from local.stages.train_command import training_program
from local.stages.train_steps import MODEL

CURVE_COLUMNS = ("epoch", "updates", "seconds", "valid_loss", "valid_cer_ctc", "valid_wer_ctc")


def train(recipe: Recipe, step: Step, *, resume: bool) -> None:
    """Do a training unless it is done; keep its model and its curve.

    Args:
        recipe: Its preset's `threads` says how many threads one training has at most, alone or in an array.
        step: One of stages 3 to 5.
        resume: Continue from the last checkpoint.

    Raises:
        RecipeError: When it fails.
    """
    wanted = recipe.preset["threads"]["array" if step.stage == Stage.FINETUNING else "single"]

    def action() -> None:
        if step.name == "import":
            import_weights(recipe, step)
            return
        program = training_program(recipe, step, resume=resume)
        threads = threads_for(wanted, program.log.parent)
        run_programs([dataclasses.replace(program, threads=threads)], nj=1)
        finish(step)

    step.run(action)


def finish(step: Step) -> None:
    """Keep the selected model and the development curve of a finished training."""
    from espnet_plugins.compat import stored_seconds
    from espnet_plugins.train import checkpoint

    folder = step.out / "espnet"
    with atomic_path(step.out / MODEL) as tmp:
        tmp.write_bytes(selected_model(folder, step.settings["config"]).read_bytes())
    reporter = checkpoint.read(folder / checkpoint.LATEST)["reporter"]
    with atomic_path(step.out / "curve.csv") as tmp, tmp.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, CURVE_COLUMNS)
        writer.writeheader()
        seconds = 0.0
        for epoch, stats in sorted(reporter["stats"].items()):
            seconds += stored_seconds(stats["train"]["time"])
            valid = {f"valid_{name}": value for name, value in stats["valid"].items()}
            row = {"epoch": epoch, "updates": stats["train"]["total_count"], "seconds": round(seconds, 2)}
            writer.writerow({**{name: valid.get(name, "") for name in CURVE_COLUMNS}, **row})
