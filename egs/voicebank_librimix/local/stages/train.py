"""Stages 3 to 5: the front-end, the recogniser, and their joint fine-tuning, through ESPnet's trainers."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from espnet_plugins.atomic import remove
from local.common import kaldi_dir
from local.common.recipe import (
    HEADS,
    RECIPE_DIR,
    Recipe,
    Run,
    add_common_arguments,
    add_resume_argument,
    add_run_arguments,
    deep_merge,
    resume_from_args,
    runs_from_args,
)
from local.common.steps import OptionError, RecipeError, Step, atomic_path, log, run_main
from local.jobs.processes import Job, run_jobs
from local.stages.espnet_commands import ASR_DATA, ENH_DATA, JOINT_DATA, merged_config, selected_model, training_command
from local.stages.phones import phones_step
from local.stages.ssl_model import upstream_options, upstream_step
from local.stages.tokens import CHARACTERS

# What a training leaves, for the stages behind it.
MODEL = "model.pth"
_SE_MODULES = ("encoder", "separator", "decoder")
CURVE_COLUMNS = ("epoch", "updates", "seconds", "valid_loss", "valid_cer_ctc", "valid_wer_ctc")


def _data_inputs(recipe: Recipe) -> dict[str, tuple[Path, int]]:
    return {name: (recipe.dump_done(name), 2) for name in ("train", "dev")}


def se_config(recipe: Recipe) -> dict[str, Any]:
    """The training of the preset's front-end: train_se.yaml and what the front-end is made of.

    Raises:
        OptionError: When the preset gives modules of a front-end under `train_se`.
    """
    own = recipe.preset.get("config", {}).get("train_se", {})
    if misplaced := sorted({*_with_options(*_SE_MODULES)} & own.keys()):
        raise OptionError(
            f"preset '{recipe.name}': {', '.join(misplaced)} of the front-end belong under its name "
            f"(config: {{{recipe.preset['front_end']}: ...}}), not under train_se"
        )
    return merged_config(recipe, ["train_se.yaml", f"front_ends/{recipe.preset['front_end']}.yaml"])


def se_step(recipe: Recipe) -> Step:
    """Stage 3: the front-end, trained on waveforms alone, or published weights."""
    if weights := recipe.preset["front_end_weights"]:
        return Step(
            "import", stage=3, out=recipe.expdir / "se", settings={"weights": weights}, outputs=("espnet", MODEL)
        )
    config = {**se_config(recipe), "seed": recipe.preset["seed"]}
    return _training_step(recipe, "se", stage=3, inputs=_data_inputs(recipe), config=config)


def asr_step(recipe: Recipe) -> Step:
    """Stage 4: the recogniser, on clean speech over the frozen SSL model."""
    config = merged_config(recipe, ["train_asr.yaml"], {"seed": recipe.preset["seed"]})
    inputs = {**_data_inputs(recipe), "tokens": (recipe.dumpdir / "tokens" / ".tokens.done", 2)}
    inputs["ssl"] = (upstream_step(recipe).done, 2)
    return _training_step(recipe, "asr", stage=4, inputs=inputs, config=config)


def pr_step(recipe: Recipe) -> Step:
    """Stage 4: the recogniser of phones, on clean speech over the frozen SSL model."""
    config = merged_config(recipe, ["train_pr.yaml"], {"seed": recipe.preset["seed"]})
    inputs = {"phones": (phones_step(recipe).done, 2), "ssl": (upstream_step(recipe).done, 2)}
    return _training_step(recipe, "pr", stage=4, inputs=inputs, config=config)


def head_steps(recipe: Recipe) -> dict[str, Step]:
    """Stage 4: what the preset's `heads` names."""
    steps = {"asr": asr_step, "pr": pr_step}
    return {name: steps[name](recipe) for name in recipe.preset["heads"]}


def data_of(recipe: Recipe, head: str) -> Path:
    """Where the data directories of a head are, with its transcripts."""
    return recipe.dumpdir if head == "asr" else phones_step(recipe).out


def joint_modules(se: Mapping[str, Any], asr: Mapping[str, Any]) -> dict[str, Any]:
    """The modules of a front-end and a recogniser under the names that ESPnet's joint task gives them.

    Args:
        se: Configuration of the front-end's training.
        asr: Configuration of the recogniser's training.

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


def _with_options(*modules: str) -> list[str]:
    """ESPnet's keys of modules: the choice and its options."""
    return [key for module in modules for key in (module, f"{module}_conf")]


def joint_step(recipe: Recipe, run: Run) -> Step:
    """Stage 5: one objective, one seed, from the models of stages 3 and 4."""
    modules = joint_modules(se_config(recipe), merged_config(recipe, ["train_asr.yaml"]))
    names = ["train_joint.yaml", f"finetune/{run.finetune}.yaml", f"objectives/{run.objective}.yaml"]
    config = with_own_modules(modules, merged_config(recipe, names, {"seed": run.seed}))
    inputs = {**asr_step(recipe).inputs, "asr": (asr_step(recipe).done, 4)}
    if has_front_end(config):
        inputs["se"] = (se_step(recipe).done, 3)
    return _training_step(recipe, f"runs/{run.name}", stage=5, inputs=inputs, config=config)


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
    """Whether a joint configuration enhances what its recogniser hears.

    Example:
        >>> has_front_end({"enh_separator": "tcn"}), has_front_end({"enh_separator": "identity"})
        (True, False)
    """
    return config["enh_separator"] != "identity"


def _training_step(
    recipe: Recipe,
    name: str,
    *,
    stage: int,
    inputs: Mapping[str, tuple[Path, int]],
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


def _token_options(recipe: Recipe, head: str) -> list[str]:
    if head == "pr":
        return ["--token_type", "word", "--token_list", str(data_of(recipe, head) / "tokens.txt")]
    tokens = recipe.dumpdir / "tokens"
    if recipe.preset["vocabulary"] == CHARACTERS:
        return ["--token_type", "char", "--token_list", str(tokens / "tokens.txt")]
    return [
        "--token_type",
        "bpe",
        "--token_list",
        str(tokens / "tokens.txt"),
        "--bpemodel",
        str(tokens / "bpe.model"),
    ]


def _config_with_paths(recipe: Recipe, step: Step) -> dict[str, Any]:
    """The step's configuration with the paths that belong to this place and not to its fingerprint."""
    config = dict(step.settings["config"])
    upstream = upstream_options(recipe)
    recogniser = recipe.expdir / "asr"
    files = {"weights": str(recogniser / MODEL), "config": str(recogniser / "espnet" / "config.yaml")}
    given: dict[str, Any] = {"upstream": upstream, "recogniser": files}
    if "enh_criterions" in config:
        needs = recipe.objectives[Run.from_name(step.out.name).objective].needs

        def with_models(criterion: Mapping[str, Any]) -> dict[str, Any]:
            need = needs.get(criterion["name"])
            return {**criterion, "conf": {**({need: given[need]} if need else {}), **criterion["conf"]}}

        config["enh_criterions"] = [with_models(criterion) for criterion in config["enh_criterions"]]
    for key in ("frontend_conf", "asr_frontend_conf"):
        if key in config:
            config[key] = {"upstream": upstream, **config[key]}
    return config


def _job(recipe: Recipe, step: Step, *, resume: bool, threads: int) -> Job:
    """The ESPnet training of a step."""
    out = step.out / "espnet"
    if not resume:
        remove(out)
    config = _config_with_paths(recipe, step)
    common = {
        "config": config,
        "out": out,
        "train": recipe.dumpdir / "train",
        "valid": recipe.dumpdir / "dev",
        "ngpu": recipe.ngpu,
        "resume": resume,
    }
    if step.stage == 3:
        # ESPnet's chunk iterator wants a length for each signal.
        command = training_command("enh_train", data=ENH_DATA, shapes=["utt2num_samples"] * 2, **common)
    elif step.stage == 4:
        head = step.out.name
        common.update({name: data_of(recipe, head) / part for name, part in (("train", "train"), ("valid", "dev"))})
        common.update({part: kaldi_dir.transcribed(common[part]) for part in ("train", "valid")})
        command = training_command("asr_train", data=ASR_DATA, extra=_token_options(recipe, head), **common)
    else:
        extra = [*_token_options(recipe, "asr"), "--text_name", "text_spk1"]
        extra += ["--init_param", f"{recipe.expdir / 'asr' / MODEL}::s2t_model"]
        if has_front_end(config):
            extra += [f"{recipe.expdir / 'se' / MODEL}::enh_model"]
        # The objective alone needs no transcript in training; validation reports the recognition loss in every case.
        with_words = ["valid"] if config.get("model_conf", {}).get("asr_weight") == 0 else ["train", "valid"]
        common.update({part: kaldi_dir.transcribed(common[part]) for part in with_words})
        command = training_command("enh_s2t_train", data=JOINT_DATA, extra=extra, **common)
    return Job(step.out.name, command, out / "train.log", threads=threads)


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
            f"{file} is missing: fetch it from {model.address} ({family.licence_name}), or set front_end_weights: null"
        )
    remove(step.out / "espnet")
    try:
        import_enhancer(file, step.out / "espnet")
        log(family.licence)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    with atomic_path(step.out / MODEL) as tmp:
        tmp.write_bytes((step.out / "espnet" / MODEL).read_bytes())


def finish(step: Step) -> None:
    """Keep the selected model and the development curve of a finished training."""
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
            seconds += stats["train"]["time"].total_seconds()
            valid = {f"valid_{name}": value for name, value in stats["valid"].items()}
            row = {"epoch": epoch, "updates": stats["train"]["total_count"], "seconds": round(seconds, 2)}
            writer.writerow({**{name: valid.get(name, "") for name in CURVE_COLUMNS}, **row})


def train(recipe: Recipe, steps: Sequence[Step], *, resume: bool) -> None:
    """Run the trainings that are not done; on the CPU, as many at a time as there are processes.

    Args:
        recipe: Its preset's `threads` says how many threads one training has, alone or in an array.
        steps: The trainings, independent of each other.
        resume: Continue from their last checkpoints.

    Raises:
        RecipeError: When one fails; the others are finished first.
    """
    array = steps[0].stage == 5
    threads = recipe.preset["threads"]["array" if array else "single"]

    def work(step: Step) -> None:
        def action() -> None:
            if step.name == "import":
                import_weights(recipe, step)
                return
            run_jobs([_job(recipe, step, resume=resume, threads=threads)], nj=1)
            finish(step)

        step.run(action)

    with ThreadPoolExecutor(max_workers=recipe.nj if array and recipe.ngpu == 0 else 1) as pool:
        for future in [pool.submit(work, step) for step in steps]:
            future.result()


def main() -> None:
    """Train what the first argument names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("se", "heads", *HEADS, "joint"))
    args = add_resume_argument(add_run_arguments(add_common_arguments(parser))).parse_args()
    recipe = Recipe.from_args(args)
    if args.what == "joint":
        steps = [joint_step(recipe, run) for run in runs_from_args(recipe, args)]
    elif args.what == "se":
        steps = [se_step(recipe)]
    else:
        steps = [step for head, step in head_steps(recipe).items() if args.what in ("heads", head)]
    train(recipe, steps, resume=resume_from_args(args))


if __name__ == "__main__":
    run_main(main)
