"""Models as they are passed on: a training's folder, a file of espnet2.bin.pack, a repository of a hub."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import IO, Any

import yaml

from espnet_plugins.atomic import atomic_path
from espnet_plugins.contents import DAMAGED_ARCHIVE, DAMAGED_YAML, WholeTarInfo, is_file, is_folder, sha256_of
from espnet_plugins.inference.ready import ready_model, ready_models

_META = "meta.yaml"
# What espnet2.bin.pack calls weights and configuration of a recognizer, a front-end and a joint model.
_NAMES = (
    ("asr_model_file", "asr_train_config"),
    ("model_file", "train_config"),
    ("enh_s2t_model_file", "enh_s2t_train_config"),
)
# What is raised for a list of files that names none of these.
_NAMES_NONE: tuple[type[Exception], ...] = (*DAMAGED_YAML, KeyError, TypeError, StopIteration)
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def default_cache() -> Path:
    """Where packed files are unpacked: below $XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "espnet_plugins"


def fetch_pretrained(
    source: str | PathLike[str], *, cache: str | PathLike[str] | None = None
) -> tuple[Path, Path | None]:
    """Find, unpack or download a model.

    Args:
        source: A folder, a model file, a file of espnet2.bin.pack (zip or tar), the name of a
            :func:`~espnet_plugins.inference.ready.ready_models`, or a hub's name ("owner/model", needs huggingface_hub
            and, the first time, the network).
        cache: Where packed files are unpacked, a folder for each content; left out: default_cache(). What a hub gives
            lies in huggingface_hub's own cache.

    Returns:
        The model and its configuration, as `from_checkpoint` takes them; no configuration where it lies beside the
        model.

    Raises:
        FileNotFoundError: For a name that is neither a file nor could be downloaded.
        ValueError: For an archive that is damaged, no packed model or would write outside its folder.
        ImportError: For a hub's name where huggingface_hub is not installed.
    """
    path, cache = Path(source), Path(cache) if cache is not None else default_cache()
    if not path.exists():
        path = ready_model(str(source)) or _download(str(source))
    if path.is_dir():
        return _located(path, cache) if (path / _META).is_file() else (path, None)
    try:
        folder = _unpacked(path, cache)
    except _OutsideError as error:
        raise ValueError(str(error)) from None
    except DAMAGED_ARCHIVE as error:
        raise ValueError(f"{path} is a damaged archive: {error}. Fetch it again") from error
    except OSError as error:
        # A damaged archive may ask for a place before its beginning, too.
        raise ValueError(f"{path} cannot be unpacked below {cache}: {error.strerror or error}") from error
    if folder is None:
        return path, None
    try:
        return _located(folder, cache)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


class _OutsideError(ValueError):
    """An archive that holds what is not unpacked."""


def _unpacked(path: Path, cache: Path) -> Path | None:
    """The folder of a packed model; None for another file."""
    if not _is_packed(path):
        return None
    folder = cache / "packed" / sha256_of(path)
    if not folder.is_dir():
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            _unpack(path, temporary)
    return folder


def _download(name: str) -> Path:
    if not _HUB_NAME.fullmatch(name):
        raise FileNotFoundError(
            f"{name}: no such file or folder, no model that comes with this package ({', '.join(ready_models())}) and "
            "no name of a hub (owner/model)"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f"{name} is no file or folder; to fetch it from a hub: pip install huggingface_hub"
        ) from error
    try:
        return Path(snapshot_download(name))
    # Its errors are of many libraries: of the network, of the hub, of its cache.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"{name}: no such file or folder here, and it could not be fetched from the hub ({reason}); offline, give "
            f"the folder that `hf download {name} --local-dir DIR` wrote where there is a network"
        ) from error


def _is_packed(path: Path) -> bool:
    return any(name == _META for name, _ in _members(path))


def _members(path: Path) -> Iterator[tuple[str, zipfile.ZipInfo | tarfile.TarInfo]]:
    # A model file of torch is a zip, too.
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from ((info.filename, info) for info in archive.infolist())
    elif tarfile.is_tarfile(path):
        with tarfile.open(path, tarinfo=WholeTarInfo) as archive:
            yield from ((info.name, info) for info in archive)


def _unpack(path: Path, folder: Path) -> None:
    """Write the files of an archive below a folder; links and names that lead elsewhere are refused."""
    for name, info in _members(path):
        parts = PurePosixPath(name).parts
        if PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or ":" in name:
            raise _OutsideError(f"{path}: holds {name!r}, which would lie outside its folder")
        if isinstance(info, zipfile.ZipInfo):
            plain = not stat.S_ISLNK(info.external_attr >> 16)
        else:
            plain = info.isfile() or info.isdir()
        if not plain:
            raise _OutsideError(f"{path}: holds {name!r}, which is no plain file")

    def write(name: str, stream: IO[bytes]) -> None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(stream, file)

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as zipped:
            for info in zipped.infolist():
                if not info.is_dir():
                    with zipped.open(info) as stream:
                        write(info.filename, stream)
    else:
        with tarfile.open(path, tarinfo=WholeTarInfo) as tarred:
            for member in tarred:
                if member.isfile() and (content := tarred.extractfile(member)) is not None:
                    write(member.name, content)


def _located(folder: Path, cache: Path) -> tuple[Path, Path]:
    """The model of an unpacked folder, and its configuration with the paths of its files here."""
    try:
        meta = yaml.safe_load((folder / _META).read_text(encoding="utf-8"))
        named = {**meta["files"], **meta["yaml_files"]}
        weights, config = next(
            (named[model], named[conf]) for model, conf in _NAMES if model in named and conf in named
        )
    except _NAMES_NONE as error:
        raise ValueError(f"{folder / _META} names no model of enhancement or recognition with its config") from error
    for name in (weights, config):
        if not isinstance(name, str) or not is_file(folder / name) or ".." in PurePosixPath(name).parts:
            raise ValueError(f"{folder / _META} names {name}, which is not there")
    try:
        settings = yaml.safe_load((folder / config).read_text(encoding="utf-8"))
    except DAMAGED_YAML as error:
        raise ValueError(f"{folder / config} is no configuration: {' '.join(str(error).split())}") from error
    text = yaml.safe_dump(_with_folder(settings, folder), allow_unicode=True)
    # Named by its content: the same folder gives the same file, an altered one another.
    place = cache / "configurations" / hashlib.sha256(text.encode()).hexdigest() / "config.yaml"
    if not place.is_file():
        with atomic_path(place) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return folder / weights, place


def _with_folder(value: Any, folder: Path) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_folder(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_folder(item, folder) for item in value]
    if isinstance(value, str) and value and not Path(value).is_absolute():
        inside = folder / value
        # A word that happens to be the name of a folder is no path.
        if ".." not in Path(value).parts and (is_file(inside) or (os.sep in value and is_folder(inside))):
            return str(inside.resolve())
    return value
