"""Of what each result in a folder was made: input, model and options, so that "done" is never another file's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from espnet_plugins.atomic import remove
from espnet_plugins.contents import sha256_of

_LEDGER = ".results.jsonl"
_REMEDY = "give another --out, or --overwrite"


@dataclass(frozen=True)
class Stamp:
    """What a file held at one time.

    Args:
        path: Where it was, absolute.
        size: In bytes.
        mtime_ns: When it was last written.
        sha256: Of its content.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: str | PathLike[str]) -> Stamp:
        """Read a file.

        Raises:
            OSError: When it cannot be read.
        """
        absolute = Path(path).resolve()
        state = absolute.stat()
        return cls(str(absolute), state.st_size, state.st_mtime_ns, sha256_of(absolute))

    def is_of(self, path: str | PathLike[str]) -> bool:
        """Whether a file holds the same; its content is read only where place, size and time do not tell."""
        absolute = Path(path).resolve()
        state = absolute.stat()
        if state.st_size != self.size:
            return False
        unmoved = str(absolute) == self.path and state.st_mtime_ns == self.mtime_ns
        return unmoved or sha256_of(absolute) == self.sha256


class Ledger:
    """Which input, model and options the results in a folder come from.

    An entry is written before its results, and after the old ones are gone: whatever is there, the last entry tells
    of what it was made, also where a call was killed.

    Args:
        out: The folder; made if it is missing.
        settings: What all results of a call depend on: options, and a Stamp for each file (the model, ...).
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        self.out = out
        self.settings = json.loads(json.dumps(settings, default=asdict))
        out.mkdir(parents=True, exist_ok=True)
        self._path = out / _LEDGER
        self._entries: dict[str, dict[str, Any]] = {}
        text = self._path.read_text(encoding="utf-8") if self._path.is_file() else ""
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                if {"targets", "source", "settings"} <= {*entry}:
                    self._entries[entry["targets"][0]] = entry
            except (ValueError, TypeError, KeyError, IndexError):
                # Cut off by a kill, its results had not been begun; damaged, is_done() says that nothing tells of them.
                continue
        self._cut_off = bool(text) and not text.endswith("\n")

    def check_settings(self) -> None:
        """Refuse to mix results of different settings in one folder.

        Raises:
            ValueError: When the folder holds results of other settings, naming what differs and both values.
        """
        for entry in self._entries.values():
            differs = _differences(entry["settings"], self.settings)
            if differs and any((self.out / name).exists() for name in entry["targets"]):
                raise ValueError(f"{self.out} holds results made with another {'; another '.join(differs)}: {_REMEDY}")

    def is_done(self, source: Path, targets: Sequence[Path]) -> bool:
        """Whether all results of an input are there, made of what it holds now.

        Args:
            source: The input.
            targets: Its results.

        Raises:
            ValueError: When what is there was made of another input, naming both, or of other settings.
            OSError: When the input cannot be read.
        """
        present = [target for target in targets if target.exists()]
        if not present:
            return False
        entry = self._entries.get(self._name(targets[0]))
        if entry is None:
            raise ValueError(f"{source}: {present[0]} is there, and nothing says of what it was made: {_REMEDY}")
        if differs := _differences(entry["settings"], self.settings):
            raise ValueError(f"{source}: {present[0]} was made with another {'; another '.join(differs)}: {_REMEDY}")
        stamp = Stamp(**entry["source"])
        if stamp.is_of(source):
            return len(present) == len(targets)
        if stamp.path != str(source.resolve()):
            raise ValueError(f"{present[0]} was made of {stamp.path}, not of {source}: {_REMEDY}")
        return False

    def begin(self, source: Path, targets: Sequence[Path], *, also: Sequence[Path] = ()) -> None:
        """Say that an input's results are about to be written; old ones are removed.

        Args:
            source: The input.
            targets: Its results.
            also: What may lie beside them and belongs to the old ones.
        """
        entry = {
            "targets": [self._name(target) for target in targets],
            "source": asdict(Stamp.of(source)),
            "settings": self.settings,
        }
        for old in (*targets, *also):
            remove(old)
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(("\n" if self._cut_off else "") + json.dumps(entry) + "\n")
        self._cut_off = False
        self._entries[entry["targets"][0]] = entry

    def results(self) -> list[Path]:
        """Every result there is that was made with these settings."""
        ours = (entry for entry in self._entries.values() if not _differences(entry["settings"], self.settings))
        return sorted(path for entry in ours for name in entry["targets"] if (path := self.out / name).is_file())

    def _name(self, target: Path) -> str:
        return target.relative_to(self.out).as_posix()


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    def identity(value: Any) -> Any:
        return value["sha256"] if isinstance(value, dict) else value

    def shown(value: Any) -> str:
        return value["path"] if isinstance(value, dict) else str(value)

    return [
        f"{key} ({shown(found.get(key))}, not {shown(wanted.get(key))})"
        for key in sorted({*found, *wanted})
        if identity(found.get(key)) != identity(wanted.get(key))
    ]
