"""The trainings of stages 3 to 5 as steps: what each builds on, its settings, what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.common.recipe import Recipe, Run
from local.common.stages import Stage
from local.common.steps import Step
from local.stages.train_config import has_front_end, head_config, joint_config, se_config, tune_config

# What a training leaves, for the stages behind it.
MODEL = "model.pth"


def se_step(recipe: Recipe) -> Step:
    """Stage 3: the front-end, trained on waveforms alone, or published weights."""
    if weights := recipe.preset["front_end_weights"]:
        return Step(
            "import",
            stage=Stage.ENHANCEMENT,
            out=recipe.expdir / "se",
            settings={"weights": weights},
            outputs=("espnet", MODEL),
        )
    config = {**se_config(recipe), "seed": recipe.preset["seed"]}
    return _training_step(recipe, "se", stage=Stage.ENHANCEMENT, inputs=_data_inputs(recipe), config=config)


def head_step(recipe: Recipe, head: str, *, ssl: Step, data: Step) -> Step:
    """Stage 4: a recognizer, on clean speech over the frozen SSL model.

    Args:
        recipe: The invocation.
        head: "asr" or "pr".
        ssl: Leaves the SSL model.
        data: Leaves the token list; for phones the data, too.
    """
    config = {**head_config(recipe, head), "seed": recipe.preset["seed"]}
    inputs: dict[str, Step | tuple[Path, int]]
    inputs = {"phones": data} if head == "pr" else {**_data_inputs(recipe), "tokens": data}
    return _training_step(recipe, head, stage=Stage.RECOGNITION, inputs={**inputs, "ssl": ssl}, config=config)


def joint_step(recipe: Recipe, run: Run, *, modules: Mapping[str, Any], se: Step, asr: Step) -> Step:
    """Stage 5: one objective, one seed, from the models of stages 3 and 4.

    Args:
        recipe: The invocation.
        run: Which.
        modules: What joint_modules() gives of front-end and recognizer.
        se: Leaves the front-end; no input where the configuration has none.
        asr: Leaves the recognizer.
    """
    config = joint_config(recipe, run, modules)
    inputs: dict[str, Step | tuple[Path, int]] = {**asr.inputs, "asr": asr}
    if has_front_end(config):
        inputs["se"] = se
    return _training_step(recipe, f"runs/{run.name}", stage=Stage.FINETUNING, inputs=inputs, config=config)


def tune_step(recipe: Recipe, run: Run, *, se: Step, ssl: Step) -> Step:
    """Stage 5 where no recognizer is trained: the front-end of stage 3 with one objective and seed.

    Args:
        recipe: The invocation.
        run: Which.
        se: Leaves the front-end.
        ssl: Leaves the SSL model.
    """
    inputs: dict[str, Step | tuple[Path, int]] = {**_data_inputs(recipe), "se": se, "ssl": ssl}
    config = tune_config(recipe, run)
    return _training_step(recipe, f"runs/{run.name}", stage=Stage.FINETUNING, inputs=inputs, config=config)


def _data_inputs(recipe: Recipe) -> dict[str, tuple[Path, int]]:
    return {name: (recipe.dump_done(name), Stage.DATA) for name in ("train", "dev")}


def _training_step(
    recipe: Recipe,
    name: str,
    *,
    stage: Stage,
    inputs: Mapping[str, Step | tuple[Path, int]],
    config: Mapping[str, Any],
) -> Step:
    return Step(
        "train",
        stage=stage,
        out=recipe.expdir / name,
        inputs=inputs,
        settings={"config": config},
        outputs=("espnet", MODEL, "curve.csv"),
        keep_previous=True,
        extends=("config.max_epoch",),
    )
