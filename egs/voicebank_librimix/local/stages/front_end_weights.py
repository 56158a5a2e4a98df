"""Published weights in place of a front-end that is trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from espnet_plugins.atomic import remove
from local.common.errors import OptionError, RecipeError
from local.common.output import atomic_path, log
from local.common.recipe import RECIPE_DIR, Recipe
from local.common.steps import Step
from local.stages.train_config import se_config
from local.stages.train_steps import MODEL


def weights_file(recipe: Recipe, model: Any) -> Path:
    """Where the file of published weights is: below the downloads, or in the folder of real data beside the repository.

    Args:
        recipe: The recipe.
        model: An entry of espnet_plugins.inference.published.PUBLISHED.

    Returns:
        The file that is there; where none is, its place below the downloads.
    """
    wanted = recipe.downloads / model.family.source / model.file
    beside = RECIPE_DIR.parents[2] / "shared" / "data" / model.family.source / model.file
    return beside if beside.is_file() and not wanted.is_file() else wanted


def import_weights(recipe: Recipe, step: Step) -> None:
    """Take published weights as the front-end.

    Raises:
        RecipeError: When their file is missing, damaged, or of another size than the preset's front-end.
    """
    from espnet_plugins.inference.published import PUBLISHED, import_enhancer

    name = step.settings["weights"]
    if name not in PUBLISHED:
        raise OptionError(f"front_end_weights: '{name}' is not known: choose from {', '.join(PUBLISHED)}")
    model, family = PUBLISHED[name], PUBLISHED[name].family
    if (separator := se_config(recipe).get("separator")) != family.separator:
        raise OptionError(
            f"front_end_weights: '{name}' is a {family.separator}, the front-end {recipe.preset['front_end']} a "
            f"{separator}: choose another front_end, or set front_end_weights: null"
        )
    file = weights_file(recipe, model)
    if not file.is_file():
        raise RecipeError(
            f"{file} is missing: fetch it from {model.address} ({family.license_name}), or set front_end_weights: null"
        )
    remove(step.out / "espnet")
    try:
        import_enhancer(file, step.out / "espnet")
        log(family.license)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    with atomic_path(step.out / MODEL) as tmp:
        tmp.write_bytes((step.out / "espnet" / MODEL).read_bytes())
