"""What a run left, as digests: of two runs the same but for times and places."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import lzma
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

# Notes of the run itself, with times in them; the checkpoints of a training hold its times beside its weights, which
# model.pth and the models of the epochs have alone.
_NOTES = re.compile(
    r"(.*\.log|checkpoint(\.previous)?\.pth|.*\.csv\.log|peak_memory\.json|events\.out.*|RESULTS\.md|report\.html|.*\.svg|.*\.png)"
)
_FOLDERS_OF_NOTES = {"tensorboard", "images", "__pycache__"}
# Superseded results, kept once.
_PREVIOUS = ".previous"
# What an interrupted run may leave beside its results.
_LEFTOVER = re.compile(r"\..*\.tmp")
# A column of curve.csv.
_TIME = "seconds"
# Parts of the report's archive: dates, times, and curves, which are taken without these.
_TIMED = ("environment", "costs", "curves")


def digests(root: Path, *, names: tuple[str, ...] = ("data", "dump", "exp")) -> dict[str, str]:
    """The digest of every result below a folder, by its path.

    The folder's own path, which lists of files and configurations hold, does not count, nor do times.

    Args:
        root: Of a run.
        names: The folders in it.
    """
    found = {}
    for path in _files(root, names):
        found[str(path.relative_to(root))] = _digest(path, root)
    return found


def leftovers(root: Path) -> list[str]:
    """Temporary files and folders that an interrupted run left."""
    return sorted(str(path.relative_to(root)) for path in root.rglob(".*") if _LEFTOVER.fullmatch(path.name))


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The paths of results that differ, or that only one of two runs has."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _files(root: Path, names: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        for path in sorted((root / name).rglob("*")):
            parts = path.relative_to(root).parts
            hidden = any(part.startswith(".") or part.endswith(_PREVIOUS) for part in parts)
            if path.is_file() and not hidden and not _FOLDERS_OF_NOTES & {*parts} and not _NOTES.fullmatch(path.name):
                yield path


def _digest(path: Path, root: Path) -> str:
    if path.suffix in (".pth", ".pt") and zipfile.is_zipfile(path):
        return _digest_of_archive(path)
    content = path.read_bytes()
    if path.name == "results.json.xz":
        stored = json.loads(lzma.decompress(content))
        curves = [{**curve, "seconds": []} for curve in stored["curves"].values()]
        content = repr([curves, *(value for key, value in stored.items() if key not in _TIMED)]).encode()
    if path.name == "curve.csv":
        rows = csv.DictReader(io.StringIO(content.decode()))
        content = repr([{key: value for key, value in row.items() if key != _TIME} for row in rows]).encode()
    return hashlib.sha256(content.replace(str(root).encode(), b"")).hexdigest()[:16]


def _digest_of_archive(path: Path) -> str:
    """Of what torch.save wrote: its members, whose folder bears the name of the file that was written to."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            digest.update(name.split("/", 1)[-1].encode() + archive.read(name))
    return digest.hexdigest()[:16]
