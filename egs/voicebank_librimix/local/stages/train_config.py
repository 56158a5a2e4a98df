"""What is trained in stages 3 to 5: ESPnet's configurations, merged from conf/ and the preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.common.errors import OptionError
from local.common.recipe import Recipe, Run, deep_merge
from local.stages.espnet_commands import merged_config

_SE_MODULES = ("encoder", "separator", "decoder")


def se_config(recipe: Recipe) -> dict[str, Any]:
    """The training of the preset's front-end: train_se.yaml and what the front-end is made of.

    Raises:
        OptionError: When the preset gives modules of a front-end under `train_se`.
    """
    own = recipe.preset.get("config", {}).get("train_se") or {}
    if misplaced := sorted({*_with_options(*_SE_MODULES)} & own.keys()):
        raise OptionError(
            f"preset '{recipe.name}': {', '.join(misplaced)} of the front-end belong under its name "
            f"(config: {{{recipe.preset['front_end']}: ...}}), not under train_se"
        )
    return merged_config(recipe, ["train_se.yaml", f"front_ends/{recipe.preset['front_end']}.yaml"])


def head_config(recipe: Recipe, head: str) -> dict[str, Any]:
    """The training of a recognizer over the frozen SSL model.

    Args:
        recipe: The invocation.
        head: One of local.common.recipe.HEADS.
    """
    return merged_config(recipe, [f"train_{head}.yaml"])


def joint_config(recipe: Recipe, run: Run, modules: Mapping[str, Any]) -> dict[str, Any]:
    """The fine-tuning of one objective and seed.

    Args:
        recipe: The invocation.
        run: The objective, the mode, the seed.
        modules: What joint_modules() gives of front-end and recognizer.
    """
    objective = recipe.objectives[run.objective]
    names = ["train_joint.yaml", f"finetune/{run.finetune}.yaml", f"objectives/{objective.file}.yaml"]
    own = objective.applied(merged_config(recipe, names, {"seed": run.seed}))
    return selected_by_decoder(with_own_modules(modules, own), recipe)


def selected_by_decoder(config: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Let the best model of a fine-tuning be chosen by what its recognizer is decoded with.

    The greedy CTC rate of train_joint.yaml says nothing of another decoder: that of attention is judged by the accuracy
    of its next token, a transducer by its loss.

    Args:
        config: The joint configuration.
        recipe: A `best_model_criterion` of its preset's own stays.
    """
    decoder, own = config.get("asr_decoder"), recipe.preset.get("config", {}).get("train_joint") or {}
    if decoder is None or "best_model_criterion" in own:
        return dict(config)
    chosen = ["valid", "loss_transducer", "min"] if decoder == "transducer" else ["valid", "acc", "max"]
    return {**config, "best_model_criterion": [chosen]}


def tune_config(recipe: Recipe, run: Run) -> dict[str, Any]:
    """The fine-tuning of the front-end alone, where no recognizer is trained.

    Args:
        recipe: The invocation.
        run: The objective and the seed.

    Raises:
        OptionError: When the objective asks for more than criteria.
    """
    objective = recipe.objectives[run.objective]
    own = objective.applied(merged_config(recipe, [f"objectives/{objective.file}.yaml"]))
    criteria = own.pop("enh_criterions")
    if own:
        raise OptionError(
            f"objective '{run.objective}' sets {', '.join(sorted(own))}, which needs a recognizer: "
            f"preset '{recipe.name}' trains none (heads: [])"
        )
    se = se_config(recipe)
    modules = {name: se[name] for name in _with_options(*_SE_MODULES, "model") if name in se}
    training = merged_config(recipe, ["train_tune.yaml"], {"seed": run.seed})
    if recipe.development_judge and not training.get("keep_every_updates"):
        raise OptionError(
            f"preset '{recipe.name}': development_judge: '{recipe.development_judge}' has no models to decode with: "
            "say how many updates lie between them (config: {train_tune: {keep_every_updates: 20}})"
        )
    return {**modules, **training, "criterions": criteria}


def joint_modules(se: Mapping[str, Any], asr: Mapping[str, Any]) -> dict[str, Any]:
    """The modules of a front-end and a recognizer under the names that ESPnet's joint task gives them.

    Args:
        se: Configuration of the front-end's training.
        asr: Configuration of the recognizer's training.

    Returns:
        The part of a joint configuration that says what the model is made of.

    Example:
        >>> joint_modules({"encoder": "conv", "max_epoch": 9}, {"encoder": "rnn", "frontend": "frozen_ssl"})
        {'enh_encoder': 'conv', 'frontend': 'frozen_ssl', 'asr_encoder': 'rnn'}
    """
    modules = {f"enh_{name}": se[name] for name in _with_options(*_SE_MODULES) if name in se}
    modules |= {name: asr[name] for name in _with_options("frontend", "specaug", "normalize") if name in asr}
    prefixed = _with_options("preencoder", "encoder", "decoder", "model")
    renamed = {f"asr_{name}": asr[name] for name in prefixed if name in asr}
    return modules | renamed


def with_own_modules(modules: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Put the settings of a fine-tuning over those of the modules it starts from.

    Args:
        modules: What joint_modules() gives.
        own: The fine-tuning's; a module of another class starts without the options of the first.

    Example:
        >>> with_own_modules({"enh_encoder": "conv", "enh_encoder_conf": {"stride": 8}}, {"enh_encoder": "same"})
        {'enh_encoder': 'same', 'enh_encoder_conf': {}}
    """
    replaced = {f"{name}_conf" for name in modules if name in own and own[name] != modules[name]}
    return deep_merge({name: {} if name in replaced else value for name, value in modules.items()}, own)


def has_front_end(config: Mapping[str, Any]) -> bool:
    """Whether a joint configuration enhances what its recognizer hears.

    Example:
        >>> has_front_end({"enh_separator": "tcn"}), has_front_end({"enh_separator": "identity"})
        (True, False)
    """
    return config.get("enh_separator") != "identity"


def _with_options(*modules: str) -> list[str]:
    """ESPnet's keys of modules: the choice and its options."""
    return [key for module in modules for key in (module, f"{module}_conf")]
