"""A trained model on disk: its configuration, its weights, what kind it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from espnet_plugins.contents import DAMAGED_YAML, is_lfs_pointer
from espnet_plugins.enh.model import LengthAwareEnhancementModel, without_schedules
from espnet_plugins.tasks import EnhTask
from espnet_plugins.weights import load_weights, read_weights

_FRONT_END = ("encoder", "separator", "mask_module", "decoder")
JOINT_PREFIX = "enh_model."


@dataclass(frozen=True)
class Experiment:
    """Files of one training.

    Args:
        config: ESPnet's config.yaml.
        weights: The model file.
        settings: What is in `config`, with the paths of today.
    """

    config: Path
    weights: Path
    settings: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """ "joint", "enh" or "asr"."""
        if "enh_separator" in self.settings:
            return "joint"
        return "enh" if "separator" in self.settings else "asr"


def find_experiment(
    model: str | PathLike[str],
    *,
    config: str | PathLike[str] | None = None,
    moved: Mapping[str, str] | None = None,
) -> Experiment:
    """Find the files of a trained model.

    Args:
        model: A model file, or a directory that holds model.pth or one valid.*.ave.pth.
        config: Its config.yaml; where left out, the one beside the model or in `espnet/` beside it.
        moved: Beginnings of paths in the configuration, and what stands there now.

    Returns:
        The files.

    Raises:
        FileNotFoundError: When one of them is missing.
        ValueError: When the directory holds several models, or the configuration is none of ESPnet's, or one of the
            files is of another kind, saying which.
    """
    path = Path(model)
    if path.is_dir():
        _refuse_hugging_face(path)
    weights = _only_model(path) if path.is_dir() else path
    if not weights.is_file():
        raise FileNotFoundError(f"{path}: no such model; give a model file or the directory of a training")
    beside = (weights.parent / "config.yaml", weights.parent / "espnet" / "config.yaml")
    found = next((name for name in beside if name.is_file()), None) if config is None else Path(config)
    if found is None or not found.is_file():
        looked = " or ".join(map(str, beside)) if config is None else str(config)
        raise FileNotFoundError(f"{weights} needs the config.yaml of its training: there is no {looked}")
    for file in (weights, found):
        if is_lfs_pointer(file):
            raise ValueError(f"{file} is a git-LFS pointer, not the file itself: run `git lfs pull` where it lies")
    try:
        settings = yaml.safe_load(found.read_text(encoding="utf-8"))
    except DAMAGED_YAML as error:
        raise ValueError(f"{found} is no configuration: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict) or not {"separator", "enh_separator", "encoder"} & settings.keys():
        raise ValueError(f"{found} is no configuration of an enhancement, recognition or joint training")
    return Experiment(found, weights, _with_moved(settings, moved or {}))


def _refuse_hugging_face(folder: Path) -> None:
    if not (folder / "config.json").is_file() or (folder / "config.yaml").is_file():
        return
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError):
        return
    raise ValueError(
        f"{folder} is a Hugging Face model ({kind}), which neither enhances nor recognizes here: give a training of "
        "this package. To train over this model, name it as upstream: {model: huggingface, checkpoint: "
        f"{folder}}}"
    )


def _with_moved(value: Any, moved: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_moved(item, moved) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_moved(item, moved) for item in value]
    if isinstance(value, str):
        for old, new in moved.items():
            if value == old or value.startswith(f"{old.rstrip('/')}/"):
                return new.rstrip("/") + value[len(old.rstrip("/")) :]
    return value


# Names, in ESPnet's and this package's configurations, of files that a trained model is built from.
_FILES = ("checkpoint", "stats_file", "bpemodel", "token_list")


def check_files(experiment: Experiment) -> None:
    """Check that the files which a configuration names are where it says.

    Args:
        experiment: A recognizer or a joint model.

    Raises:
        FileNotFoundError: Naming those that are missing, and the remedy.
    """
    missing = sorted({path for path in _named_files(experiment.settings) if not Path(path).exists()})
    if missing:
        raise FileNotFoundError(
            f"{experiment.config} names {', '.join(missing)}: no such file from here. Where an experiment was moved, "
            "say what the beginning of these paths is now: --moved OLD=NEW (moved={OLD: NEW} in python)"
        )


def _named_files(value: Any, name: str | None = None) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _named_files(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _named_files(item)
    elif isinstance(value, str) and name in _FILES:
        yield value


@contextmanager
def config_file(experiment: Experiment) -> Iterator[Path]:
    """Give a config.yaml with an experiment's settings, for ESPnet's programs, which read a file."""
    if experiment.settings == yaml.safe_load(experiment.config.read_text(encoding="utf-8")):
        yield experiment.config
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(dict(experiment.settings), allow_unicode=True), encoding="utf-8")
        yield path


def _only_model(folder: Path) -> Path:
    if (folder / "model.pth").is_file():
        return folder / "model.pth"
    averaged = sorted(folder.glob("valid.*.ave.pth"))
    if len(averaged) == 1:
        return averaged[0]
    names = ", ".join(path.name for path in averaged) or "no model.pth and no valid.*.ave.pth"
    raise ValueError(f"{folder} holds {names}: give the model file itself")


def front_end_settings(experiment: Experiment) -> dict[str, Any]:
    """The configuration of the front-end alone, without criteria.

    Args:
        experiment: A front-end's or a joint training.

    Returns:
        Arguments of ESPnet's enhancement task.

    Raises:
        ValueError: For a recognizer.
    """
    if experiment.kind == "asr":
        raise ValueError(f"{experiment.config} is a recognizer: it has no front-end that enhances")
    prefix = "enh_" if experiment.kind == "joint" else ""

    def setting(name: str) -> Any:
        # ESPnet's joint task falls back to the plain name where the prefixed one is not set.
        value = experiment.settings.get(prefix + name)
        return experiment.settings.get(name) if value is None else value

    settings = {name: setting(name) for name in _FRONT_END}
    settings |= {f"{name}_conf": setting(f"{name}_conf") or {} for name in _FRONT_END}
    settings["model_conf"] = experiment.settings.get(f"{prefix}model_conf") or {}
    return {**settings, "criterions": None, "init": None}


def front_end_weights(experiment: Experiment) -> dict[str, torch.Tensor]:
    """The weights of the front-end alone, under the names of a training of its own."""
    weights = read_weights(experiment.weights)
    if experiment.kind == "joint":
        own = [name for name in weights if name.startswith(JOINT_PREFIX)]
        weights = {name.removeprefix(JOINT_PREFIX): weights[name] for name in own}
    return without_schedules(weights)


def load_front_end(experiment: Experiment) -> LengthAwareEnhancementModel:
    """Build the front-end of a training, without criteria and so without any upstream.

    Args:
        experiment: A front-end's or a joint training.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        ValueError: For a recognizer, a configuration that cannot be built, or weights that do not fit.
    """
    from argparse import Namespace

    try:
        model = EnhTask.build_model(Namespace(**front_end_settings(experiment)))
    # What ESPnet's classes make of a value of another kind.
    except (TypeError, AttributeError, LookupError, ArithmeticError, AssertionError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{experiment.config}: no front-end can be built: {type(error).__name__}: {reason}") from error
    load_weights(model, front_end_weights(experiment), where=str(experiment.weights))
    return model.eval()
