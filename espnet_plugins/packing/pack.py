"""A trained model as one file of espnet2.bin.pack, which holds all that it needs and names nothing outside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml

from espnet_plugins.atomic import atomic_path
from espnet_plugins.enh.model import without_schedules
from espnet_plugins.inference.experiment import (
    JOINT_PREFIX,
    Experiment,
    check_files,
    find_experiment,
    front_end_settings,
    front_end_weights,
)
from espnet_plugins.inference.export import export_front_end, export_recognizer, write_model
from espnet_plugins.inference.stock_frontends import NotExportable
from espnet_plugins.packing.card import Card, render_card
from espnet_plugins.tasks import EnhTask, JointTask, RecognitionTask, default_config
from espnet_plugins.weights import read_weights

# Where the model lies in the packed file.
_INSIDE = "exp"
_TASKS = {"enh": EnhTask, "asr": RecognitionTask, "joint": JointTask}
# What espnet2.bin.pack calls a kind, and the names of its weights and configuration. Speech2Text takes a joint model
# under the names of a recognizer.
_PACKED = {
    "enh": ("enh", "model_file", "train_config"),
    "asr": ("asr", "asr_model_file", "asr_train_config"),
    "joint": ("asr", "asr_model_file", "asr_train_config"),
}
# Keys of a configuration whose value is a file or a folder that the model is built from.
_FILES = {"checkpoint": "upstream", "stats_file": "stats", "bpemodel": "bpe", "token_list": "tokens"}
_FILES |= {"non_linguistic_symbols": "non_linguistic_symbols"}


class Packed(NamedTuple):
    """A packed model.

    Args:
        path: The file.
        kind: "enh", "asr" or "joint".
        stock: Whether stock ESPnet reads it; else this package is needed.
        notes: Why not, or where it decodes otherwise.
    """

    path: Path
    kind: str
    stock: bool
    notes: list[str]


def pack_model(
    model: str | PathLike[str],
    out: str | PathLike[str],
    *,
    card: Card,
    front_end: bool = False,
    config: str | PathLike[str] | None = None,
    moved: Mapping[str, str] | None = None,
    beside: Mapping[str, str | PathLike[str]] | None = None,
) -> Packed:
    """Pack a model with everything it is built from, a model card, and what else is given.

    Where stock ESPnet has classes for all of it, it is packed as
    :func:`~espnet_plugins.inference.export.export_model` writes it, for both; else as this package reads it. Options of
    the training that name files of this machine are left out, criteria too.

    Args:
        model: A model file or a training's directory; see
            :func:`~espnet_plugins.inference.experiment.find_experiment`.
        out: The file, .zip; one that is there is replaced.
        card: What is known of the model.
        front_end: Of a joint model, the front-end alone.
        config: config.yaml of the training, where it is not beside the model.
        moved: Beginnings of paths in it, and what stands there now.
        beside: Name in the packed file -> a file to put there, such as RESULTS.md.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: For a missing model, configuration or file that is named there.
        ValueError: For another ending than .zip, a front-end asked of a recognizer, or a file of ESPnet's program that
            failed.
    """
    out, added = Path(out).absolute(), {name: Path(place) for name, place in (beside or {}).items()}
    if out.suffix != ".zip":
        raise ValueError(f"{out}: a packed model ends in .zip")
    for name, source in added.items():
        if not source.is_file():
            raise FileNotFoundError(f"{source}: no such file (to be packed as {name})")
        if name in ("README.md", "meta.yaml") or PurePosixPath(name).name != name:
            raise ValueError(f"{name}: give a plain name, not that of the card or of ESPnet's list of files")
    experiment = find_experiment(model, config=config, moved=moved)
    kind = "enh" if front_end else experiment.kind
    if front_end and experiment.kind == "asr":
        raise ValueError(f"{experiment.config} is a recognizer: it has no front-end")
    experiment = _without_criteria(experiment)
    if kind != "enh":
        check_files(experiment)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".pack.", dir=out.parent) as place:
        stage = Path(place) / "files"
        stage.mkdir()
        stock = True
        try:
            notes = _stock_form(experiment, kind, stage / _INSIDE)
        except NotExportable as error:
            stock, notes = False, [f"for this package alone: {error}"]
            _own_form(experiment, kind, stage / _INSIDE)
        # A notice that came with imported weights goes with them.
        places = (experiment.weights.with_name(name) for name in ("LICENSE", "LICENCE"))
        notices = {place.name: place for place in places if place.is_file()}
        for name, source in {**notices, **added}.items():
            shutil.copyfile(source, stage / name)
        others = sorted(path.name for path in stage.iterdir() if path.is_file())
        text = render_card(
            card, kind=kind, stock=stock, file=out.name, beside=["exp/config.yaml", "exp/model.pth", *others]
        )
        (stage / "README.md").write_text(text, encoding="utf-8")
        with atomic_path(out) as temporary:
            _pack(kind, stage, temporary)
    return Packed(out, kind, stock, notes)


def _without_criteria(experiment: Experiment) -> Experiment:
    """Criteria are of the training; the models that they need are not packed."""
    return replace(experiment, settings={**experiment.settings, "criterions": None, "enh_criterions": None})


def _stock_form(experiment: Experiment, kind: str, folder: Path) -> list[str]:
    """Put a model there as stock ESPnet reads it; give what is different.

    Raises:
        NotExportable: Where it cannot.
    """
    exported = folder.parent.parent / "exported"
    notes: list[str] = []
    if kind == "enh":
        made = export_front_end(experiment, exported)
    else:
        made, notes = export_recognizer(experiment, exported)
    settings = yaml.safe_load((made / "config.yaml").read_text(encoding="utf-8"))
    _write_settings(_relative(settings, made.resolve()), kind, made)
    made.rename(folder)
    return notes


def _own_form(experiment: Experiment, kind: str, folder: Path) -> None:
    if kind == "enh":
        settings = {**default_config(EnhTask), **front_end_settings(experiment)}
        write_model(folder, {}, front_end_weights(experiment))
    else:
        write_model(folder, {}, without_schedules(read_weights(experiment.weights), prefix=JOINT_PREFIX))
        settings = _with_files(experiment.settings, folder, {})
    _write_settings(settings, kind, folder)


def _with_files(value: Any, folder: Path, copied: dict[Path, str], key: str = "") -> Any:
    """Copy the files that a configuration names, each once, and name the copies."""
    if isinstance(value, Mapping):
        return {name: _with_files(item, folder, copied, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_files(item, folder, copied) for item in value]
    if not isinstance(value, str) or key not in _FILES or not Path(value).exists():
        return value
    source = Path(value).resolve()
    if source not in copied:
        ending = "" if source.is_dir() else source.suffix
        number = sum(name.startswith(_FILES[key]) for name in copied.values())
        copied[source] = f"{_FILES[key]}{number or ''}{ending}"
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / copied[source])
    return f"{_INSIDE}/{copied[source]}"


def _relative(value: Any, folder: Path) -> Any:
    """Paths below a folder as paths inside the packed file."""
    if isinstance(value, Mapping):
        return {name: _relative(item, folder) for name, item in value.items()}
    if isinstance(value, list):
        return [_relative(item, folder) for item in value]
    if isinstance(value, str) and value.startswith(f"{folder}/"):
        return f"{_INSIDE}/{Path(value).relative_to(folder).as_posix()}"
    return value


def _names_a_place(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_names_a_place, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_names_a_place, value))
    return isinstance(value, str) and value.startswith(("/", "file:"))


def _write_settings(settings: Mapping[str, Any], kind: str, folder: Path) -> None:
    """Write the configuration without what names a place on this machine: data, logs, initial weights."""
    usual = default_config(_TASKS[kind])
    places = {key for key, value in settings.items() if key != "token_list" and _names_a_place(value)}
    kept = {key: usual.get(key) if key in places else value for key, value in settings.items()}
    kept["output_dir"] = None
    text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)
    (folder / "config.yaml").write_text(text, encoding="utf-8")


def _pack(kind: str, stage: Path, out: Path) -> None:
    """Have ESPnet's program pack a folder, as its recipes do."""
    name, weights, config = _PACKED[kind]
    given = [f"--{config}", f"{_INSIDE}/config.yaml", f"--{weights}", f"{_INSIDE}/model.pth"]
    more = [path for path in _below(stage) if path not in (f"{_INSIDE}/config.yaml", f"{_INSIDE}/model.pth")]
    options = [word for path in more for word in ("--option", path)]
    packed = stage.parent / "packed.zip"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "espnet2.bin.pack",
        name,
        *given,
        *options,
        "--outpath",
        str(packed),
    ]
    result = subprocess.run(command, cwd=stage, capture_output=True, text=True)
    if result.returncode != 0:
        raise ValueError(f"espnet2.bin.pack failed: {' '.join(result.stderr.split())[-500:]}")
    # ESPnet's unpacking leads a configuration's paths to the unpacked files by the names in the archive, and its
    # packing enters files alone: a folder has to be entered by name.
    with zipfile.ZipFile(packed, "a") as archive:
        for folder in sorted(path for path in (stage / _INSIDE).rglob("*") if path.is_dir()):
            archive.writestr(f"{folder.relative_to(stage).as_posix()}/", b"")
    packed.rename(out)


def _below(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix()
