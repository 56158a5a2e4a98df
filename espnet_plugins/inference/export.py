"""Trained models as stock ESPnet reads them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from espnet2.tasks.enh import EnhancementTask

from espnet_plugins.atomic import atomic_path
from espnet_plugins.enh.model import split_options, without_schedules
from espnet_plugins.inference.experiment import (
    JOINT_PREFIX,
    Experiment,
    find_experiment,
    front_end_settings,
    front_end_weights,
)
from espnet_plugins.inference.stock_frontends import NotExportable, StockFrontend, stock_frontend
from espnet_plugins.register import FRONTENDS, SEPARATORS
from espnet_plugins.tasks import default_config
from espnet_plugins.weights import read_weights


class Exported(NamedTuple):
    """What an export wrote.

    Args:
        folders: Directories with config.yaml and model.pth.
        left_out: What stock ESPnet cannot decode, and why.
        notes: Where it decodes otherwise than here.
    """

    folders: list[Path]
    left_out: list[str]
    notes: list[str]


def export_model(
    model: str | PathLike[str],
    out: str | PathLike[str],
    *,
    config: str | PathLike[str] | None = None,
    moved: Mapping[str, str] | None = None,
) -> Exported:
    """Write everything of a model that stock ESPnet has classes for.

    Args:
        model: A model file or a training's directory; see
            :func:`~espnet_plugins.inference.experiment.find_experiment`.
        out: Where enh/, joint/ or asr/ are written, each as a whole or not at all.
        config: config.yaml of the training, where it is not beside the model.
        moved: Beginnings of paths in it, and what stands there now.

    Returns:
        What was written, and what was not.

    Raises:
        FileNotFoundError: For a missing model or configuration.
        ValueError: When nothing of the model can be exported, saying why.
    """
    experiment, out = find_experiment(model, config=config, moved=moved), Path(out)
    folders, left_out, notes = [], [], []
    if experiment.kind != "asr":
        try:
            folders.append(export_front_end(experiment, out))
        except NotExportable as error:
            left_out.append(f"the front-end: {error}")
    if experiment.kind != "enh":
        try:
            folder, found = export_recognizer(experiment, out)
            folders.append(folder)
            notes += [f"{folder}: {note}" for note in found]
        except NotExportable as error:
            frontend = experiment.settings.get("frontend")
            left_out.append(
                f"the recognizer (front-end {frontend!r}): {error}; decode with espnet_plugins.bin.asr_inference or "
                "recognize (front-end by front-end: docs/objectives.md)"
            )
    if not folders:
        raise ValueError(f"{experiment.config}: nothing can be exported: {'; '.join(left_out)}")
    return Exported(folders, left_out, notes)


def export_front_end(experiment: Experiment, out: Path) -> Path:
    """Write the front-end of a training.

    Args:
        experiment: A front-end's or a joint training.
        out: Where enh/ is written.

    Returns:
        That folder.

    Raises:
        NotExportable: Where ESPnet has no classes for it.
    """
    settings = front_end_settings(experiment)
    if settings["separator"] in SEPARATORS:
        raise NotExportable(f"separator {settings['separator']!r} is this package's")
    settings["model_conf"], _ = split_options("model_conf", settings["model_conf"])
    full = {**default_config(EnhancementTask), **settings}
    return write_model(out / "enh", full, front_end_weights(experiment))


def export_recognizer(experiment: Experiment, out: Path) -> tuple[Path, list[str]]:
    """Write a recognizer, or a joint model as a whole.

    Args:
        experiment: Of one of these.
        out: Where asr/ or joint/ is written.

    Returns:
        That folder, and where ESPnet decodes otherwise than this package.

    Raises:
        NotExportable: Where ESPnet has no classes for it.
    """
    if experiment.kind == "joint" and front_end_settings(experiment)["separator"] in SEPARATORS:
        raise NotExportable("its separator is this package's")
    folder, exact = _write_recognizer(experiment, out)
    return folder, [] if exact else ["s3prl repeats the last frame once or twice; scores of the last frames differ"]


# Where an exported recognizer has its SSL model.
_UPSTREAM = "upstream"
# ESPnet's encoders whose layers with projections drop activations whatever the mode (espnet_plugins.recurrent).
_ALWAYS_DROPPING = ("rnn", "vgg_rnn")


def _without_dropout(settings: Mapping[str, Any], *, prefix: str) -> dict[str, Any]:
    conf = settings.get(f"{prefix}encoder_conf") or {}
    if settings.get(f"{prefix}encoder") not in _ALWAYS_DROPPING or not conf.get("use_projection", True):
        return {}
    return {f"{prefix}encoder_conf": {**conf, "dropout": 0.0}}


def _with_stock_frontend(
    experiment: Experiment, weights: dict[str, torch.Tensor], folder: Path
) -> tuple[dict[str, Any], dict[str, torch.Tensor], StockFrontend | None]:
    """Settings to change, all weights, and what stands for a front-end of this package."""
    if experiment.settings.get("frontend") not in FRONTENDS:
        return {}, weights, None
    prefix = "s2t_model.frontend." if experiment.kind == "joint" else "frontend."
    stock = stock_frontend(experiment.settings.get("frontend_conf") or {}, weights.pop(f"{prefix}layer_weights", None))
    weights |= {f"{prefix}{name}": value for name, value in stock.weights.items()}
    conf = stock.conf_at((folder / _UPSTREAM).resolve())
    return {"frontend": stock.name, "frontend_conf": conf}, weights, stock


def _write_recognizer(experiment: Experiment, out: Path) -> tuple[Path, bool]:
    settings = dict(experiment.settings)
    if experiment.kind == "joint":
        # The weights of the losses are options of this package's model; the criteria matter in training alone.
        stock_conf, _ = split_options("enh_model_conf", settings.get("enh_model_conf"))
        settings.update(enh_criterions=None, enh_model_conf=stock_conf, model_conf={"calc_enh_loss": False})
    settings.update(_without_dropout(settings, prefix="asr_" if experiment.kind == "joint" else ""))
    tokens = settings.get("token_list")
    if isinstance(tokens, str):
        settings["token_list"] = Path(tokens).read_text(encoding="utf-8").split("\n")[:-1]
    folder = out / experiment.kind
    files = {}
    bpemodel = settings.get("bpemodel")
    if bpemodel is not None:
        if not Path(bpemodel).is_file():
            raise FileNotFoundError(
                f"sentencepiece model {bpemodel}, named in {experiment.config}: no such file; give --moved OLD=NEW"
            )
        settings["bpemodel"] = str((folder / "bpe.model").resolve())
        files["bpe.model"] = Path(bpemodel).read_bytes()
    weights = without_schedules(read_weights(experiment.weights), prefix=JOINT_PREFIX)
    changed, weights, stock = _with_stock_frontend(experiment, weights, folder)
    settings.update(changed)
    folders = {} if stock is None else {_UPSTREAM: stock.upstream}
    return write_model(folder, settings, weights, files=files, folders=folders), stock is None or stock.exact


def write_model(
    folder: Path,
    settings: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    *,
    files: Mapping[str, bytes] | None = None,
    folders: Mapping[str, Path] | None = None,
) -> Path:
    """Write config.yaml and model.pth, as a whole or not at all.

    Args:
        folder: Where they go; what stands there is replaced.
        settings: ESPnet's configuration.
        weights: The model's state dict.
        files: Names and contents of files to put beside them.
        folders: Names and places of folders to copy there.

    Returns:
        `folder`.
    """
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        (temporary / "config.yaml").write_text(
            yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        torch.save(dict(weights), temporary / "model.pth")
        for name, content in (files or {}).items():
            (temporary / name).write_bytes(content)
        for name, source in (folders or {}).items():
            shutil.copytree(source, temporary / name)
    return folder
