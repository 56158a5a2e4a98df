"""The command of each training: ESPnet's program, its data, the models that it starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from espnet_plugins.atomic import remove
from local.common import kaldi_dir
from local.common.recipe import Recipe, Run
from local.common.stages import Stage
from local.common.steps import Step
from local.jobs.processes import Program
from local.stages.espnet_commands import ASR_DATA, ENH_DATA, JOINT_DATA, training_command
from local.stages.ssl_model import HUBERT, upstream_options
from local.stages.tokens import CHARACTERS
from local.stages.train_config import has_front_end
from local.stages.train_steps import MODEL


def training_log(step: Step) -> Path:
    """Where the output of a training goes, that of the SSL model among them."""
    return step.out / (HUBERT if step.stage == Stage.DATA else "espnet") / "train.log"


def training_program(recipe: Recipe, step: Step, *, resume: bool) -> Program:
    """The ESPnet training of a step.

    Args:
        recipe: The invocation.
        step: One of stages 3 to 5.
        resume: Go on with what an earlier call left; else that is removed.
    """
    out = step.out / "espnet"
    if not resume:
        remove(out)
    config = config_with_paths(recipe, step)
    calls: dict[int, Callable[[Recipe, Step], tuple[str, dict[str, Any]]]]
    calls = {Stage.ENHANCEMENT: _enhancement, Stage.RECOGNITION: _recognition, Stage.FINETUNING: _finetuning}
    name, options = calls[step.stage](recipe, step)
    options |= {"out": out, **_data_of(recipe, step), "ngpu": recipe.ngpu, "resume": resume}
    command = training_command(name, config=config, **options)
    return Program(step.out.name, command, training_log(step))


def trains_front_end_alone(step: Step) -> bool:
    """Whether a training is one of ESPnet's enhancement task, without a recognizer."""
    return "criterions" in step.settings["config"]


def _data_of(recipe: Recipe, step: Step) -> dict[str, Path]:
    """The data directories of a training, without what has no transcript where words are needed."""
    folder = _folder_of(recipe, step)
    places = {"train": folder / "train", "valid": folder / "dev"}
    # Without a recognizer no transcript is needed.
    parts = [] if trains_front_end_alone(step) else ["train", "valid"]
    if step.stage == Stage.FINETUNING and step.settings["config"].get("model_conf", {}).get("asr_weight") == 0:
        # The objective alone needs none; validation reports the recognition loss in every case.
        parts = ["valid"]
    return {**places, **{part: kaldi_dir.transcribed(places[part]) for part in parts}}


def _folder_of(recipe: Recipe, step: Step) -> Path:
    """Where train/ and dev/ are: those whose transcripts are phones lie beside the lexicon."""
    return step.inputs["phones"][0].parent if "phones" in step.inputs else recipe.dumpdir


def _enhancement(recipe: Recipe, step: Step) -> tuple[str, dict[str, Any]]:
    # ESPnet's chunk iterator wants a length for each signal.
    return "enh_train", {"data": ENH_DATA, "shapes": ["utt2num_samples"] * 2}


def _recognition(recipe: Recipe, step: Step) -> tuple[str, dict[str, Any]]:
    if "phones" in step.inputs:
        extra = ["--token_type", "word", "--token_list", str(_folder_of(recipe, step) / "tokens.txt")]
    else:
        extra = _word_tokens(recipe)
    return "asr_train", {"data": ASR_DATA, "extra": extra}


def _finetuning(recipe: Recipe, step: Step) -> tuple[str, dict[str, Any]]:
    if trains_front_end_alone(step):
        name, options = _enhancement(recipe, step)
        return name, {**options, "extra": ["--init_param", str(recipe.expdir / "se" / MODEL)]}
    extra = [*_word_tokens(recipe), "--text_name", "text_spk1"]
    extra += ["--init_param", f"{recipe.expdir / 'asr' / MODEL}::s2t_model"]
    if has_front_end(step.settings["config"]):
        extra += [f"{recipe.expdir / 'se' / MODEL}::enh_model"]
    return "enh_s2t_train", {"data": JOINT_DATA, "extra": extra}


def _word_tokens(recipe: Recipe) -> list[str]:
    tokens = recipe.dumpdir / "tokens"
    if recipe.preset["vocabulary"] == CHARACTERS:
        return ["--token_type", "char", "--token_list", str(tokens / "tokens.txt")]
    return ["--token_type", "bpe", "--token_list", str(tokens / "tokens.txt"), "--bpemodel", str(tokens / "bpe.model")]


def config_with_paths(recipe: Recipe, step: Step) -> dict[str, Any]:
    """The step's configuration with the paths that belong to this place and not to its fingerprint."""
    config = dict(step.settings["config"])
    upstream = upstream_options(recipe)
    recognizer = recipe.expdir / "asr"
    files = {"weights": str(recognizer / MODEL), "config": str(recognizer / "espnet" / "config.yaml")}
    given: dict[str, Any] = {"upstream": upstream, "recognizer": files}
    key = "criterions" if trains_front_end_alone(step) else "enh_criterions"
    if step.stage == Stage.FINETUNING:
        needs = recipe.objectives[Run.from_name(step.out.name).objective].needs

        def with_models(criterion: Mapping[str, Any]) -> dict[str, Any]:
            need = needs.get(criterion["name"])
            return {**criterion, "conf": {**({need: given[need]} if need else {}), **criterion["conf"]}}

        config[key] = [with_models(criterion) for criterion in config[key]]
    for options in ("frontend_conf", "asr_frontend_conf"):
        if options in config:
            config[options] = {"upstream": upstream, **config[options]}
    return config
