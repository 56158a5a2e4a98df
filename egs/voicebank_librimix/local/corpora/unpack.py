"""Unpacking zip and tar archives: all or nothing, and never outside the folder."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from espnet_plugins.atomic import remove
from espnet_plugins.contents import DAMAGED_ARCHIVE, WholeTarInfo
from local.common.errors import RecipeError
from local.common.progress import Bar


class ArchiveError(RecipeError):
    """An archive that cannot be unpacked."""


# A member: its name, its size, and what opens it; None for a folder.
_Member = tuple[str, int, Callable[[], IO[bytes]] | None]


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        yield info.filename, info.file_size, None if info.is_dir() else partial(archive.open, info)


def _tar_members(archive: tarfile.TarFile, path: Path) -> Iterator[_Member]:
    for info in archive:
        if info.isfile():
            yield info.name, info.size, partial(_content, archive, info)
        elif info.isdir():
            yield info.name, 0, None
        else:
            raise ArchiveError(f"{path}: '{info.name}' is neither a file nor a folder; it is not unpacked")


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    assert stream is not None, "a regular file"
    return stream


@contextmanager
def _members(path: Path) -> Iterator[Iterator[_Member]]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _zip_members(archive)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path, tarinfo=WholeTarInfo) as archive:
                yield _tar_members(archive, path)
        else:
            raise ArchiveError(f"{path} is neither a zip nor a tar archive")
    except DAMAGED_ARCHIVE as error:
        raise ArchiveError(f"{path} is damaged: {error}. Remove it and run again") from error


def _is_litter(name: PurePosixPath) -> bool:
    """What a Macintosh adds to archives."""
    return "__MACOSX" in name.parts or name.name.startswith("._") or name.name == ".DS_Store"


def _destination(name: str, folder: Path, path: Path, take: PurePosixPath) -> Path | None:
    """Where a member goes; None for one that is not wanted."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or "\\" in name:
        raise ArchiveError(f"{path}: '{name}' would be written outside the folder; nothing is unpacked")
    if _is_litter(inside) or not inside.is_relative_to(take):
        return None
    return folder / inside.relative_to(take)


def _merge(source: Path, target: Path) -> None:
    """Move what lies in a folder into another; a file or folder that is new there appears whole."""
    for child in sorted(source.iterdir()):
        location = target / child.name
        if child.is_dir() and location.is_dir():
            _merge(child, location)
        else:
            os.replace(child, location)


def unpack(path: Path, folder: Path, *, take: str = "", only: str = "") -> None:
    """Unpack an archive into a folder.

    Args:
        path: A zip or a tar file, compressed in any way that tarfile knows.
        folder: Gets the contents; other things in it stay. Nothing appears there before all is unpacked.
        take: Only what lies below this path of the archive, without that path.
        only: Only files of this name, where it is not empty.

    Raises:
        ArchiveError: When the archive is damaged, wants to write outside the folder, holds links or devices,
            or has nothing below `take`.
        RecipeError: When the disk is full. Nothing is left of the attempt.
    """
    tmp = folder.parent / f".{folder.name}.{path.name}.tmp"
    remove(tmp)
    try:
        tmp.mkdir(parents=True)
        with _members(path) as members:
            _extract(members, tmp, path, PurePosixPath(take), only)
        if not any(tmp.iterdir()):
            raise ArchiveError(f"{path} holds nothing of '{take}/{only}'")
        folder.mkdir(parents=True, exist_ok=True)
        _merge(tmp, folder)
    except OSError as error:
        raise RecipeError(f"cannot unpack {path} into {folder}: {error.strerror or error}") from error
    finally:
        remove(tmp)


def _extract(members: Iterator[_Member], tmp: Path, path: Path, take: PurePosixPath, only: str) -> None:
    with Bar(desc=f"unpack {path.name}", unit="B", unit_scale=True) as progress:
        for name, size, opened in members:
            target = _destination(name, tmp, path, take)
            if target is None or (only and target.name != only):
                continue
            if opened is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with opened() as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            progress.update(size)
