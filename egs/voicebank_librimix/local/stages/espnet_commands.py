"""How the recipe calls ESPnet's trainers: configurations are merged from YAML, data named as ESPnet wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from local.common.errors import RecipeError
from local.common.output import atomic_path
from local.common.recipe import Recipe, deep_merge, read_yaml
from local.jobs.launch import distribution_options, training_prefix

# The data of each of ESPnet's tasks: name in the model's forward -> (file of the data directory, type).
ENH_DATA = {"speech_mix": ("wav.scp", "kaldi_ark"), "speech_ref1": ("spk1.scp", "kaldi_ark")}
ASR_DATA = {"speech": ("spk1.scp", "kaldi_ark"), "text": ("text_spk1", "text")}
JOINT_DATA = {
    "speech": ("wav.scp", "kaldi_ark"),
    "speech_ref1": ("spk1.scp", "kaldi_ark"),
    "text_spk1": ("text_spk1", "text"),
}
HUBERT_DATA = {"speech": ("wav.scp", "kaldi_ark"), "text": ("text", "text")}
# What ESPnet logs of an utterance that it leaves out.
_TOO_SHORT = "shorter than any candidates of chunk-length"


def merged_config(recipe: Recipe, names: Sequence[str], *overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Merge YAML files below conf/, then the preset's own values, then `overrides`.

    Args:
        recipe: Its preset may hold `config: {FILE: {key: value}}`, merged over that file.
        names: Files below conf/, later ones win.
        overrides: Settings that win over all files.

    Returns:
        The configuration of one training.
    """
    config: dict[str, Any] = {}
    for name in names:
        config = deep_merge(config, read_yaml(recipe.conf(name)))
        config = deep_merge(config, recipe.preset.get("config", {}).get(Path(name).stem) or {})
    for override in overrides:
        config = deep_merge(config, override)
    # What the recipe reads of an objective's file; ESPnet has no such option.
    config.pop("objective", None)
    return config


def training_command(
    program: str,
    *,
    config: Mapping[str, Any],
    out: Path,
    train: Path,
    valid: Path,
    data: Mapping[str, tuple[str, str]],
    shapes: Sequence[str] = ("utt2num_samples",),
    ngpu: int,
    resume: bool,
    extra: Sequence[str] = (),
) -> list[str]:
    """Write a training's configuration and give the command that runs it.

    Args:
        program: A module of espnet_plugins.bin.
        config: ESPnet's configuration; written to `out`/train.yaml.
        out: The experiment's directory.
        train: The training data directory.
        valid: The development data directory.
        data: ESPnet's data names -> (file of the data directory, type).
        shapes: Files that give each utterance's length.
        ngpu: GPUs.
        resume: Continue from `out`/checkpoint.pth where there is one.
        extra: Further options.

    Returns:
        The command, program first.
    """
    with atomic_path(out / "train.yaml") as tmp:
        tmp.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    command = [*training_prefix(program, ngpu), "--config", str(out / "train.yaml"), "--output_dir", str(out)]
    command += ["--ngpu", str(ngpu), "--resume", str(resume).lower()]
    for part, folder in (("train", train), ("valid", valid)):
        for name, (file, kind) in data.items():
            command += [f"--{part}_data_path_and_name_and_type", f"{folder / file},{name},{kind}"]
        for shape in shapes:
            command += [f"--{part}_shape_file", str(folder / shape)]
    return [*command, *extra, *distribution_options(config, ngpu=ngpu, out=out)]


def selected_model(folder: Path, config: Mapping[str, Any]) -> Path:
    """The model that a finished training selected: by its first criterion, the mean of as many epochs as it keeps.

    Args:
        folder: ESPnet's directory of the training.
        config: Its configuration.

    Returns:
        ESPnet's link to that model; of a training with fewer epochs than it keeps, the best one.

    Raises:
        RecipeError: When there is none: ESPnet ends a training well that made no update.
    """
    phase, name, _ = config["best_model_criterion"][0]
    model = folder / f"{phase}.{name}.ave.pth"
    if not model.exists():
        log = folder / "train.log"
        printed = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        why = "no epoch was better than none"
        if _TOO_SHORT in printed:
            why = f"there are utterances of no more than chunk_length: {config.get('chunk_length')} samples, left out"
        raise RecipeError(f"the training in {folder} ended without a model: {why}; see {log}")
    return model
