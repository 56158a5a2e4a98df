"""Reading CTranslate2's ``model.bin``: an index of tensors, and their values."""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import torch

_VERSION = 6
_TYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Entry:
    """Where a tensor stands in the file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int
    size: int


class ModelFile:
    """The index of a ``model.bin``; values are read when asked for.

    The file holds, little-endian: uint32 version (6), the name of the kind of model, uint32 revision, uint32 number of
    tensors, then for each its name, uint8 rank, uint32 sizes, uint8 type, uint32 bytes, and the values. A name is a
    uint16 length, then so many bytes, the last of which is zero. Second names of tensors follow; none is the encoder's.

    Args:
        path: the file.

    Raises:
        ValueError: where it is not of this format, or cut off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._total = path.stat().st_size
        with path.open("rb") as file:
            version = self._number(file, "I")
            if version != _VERSION:
                raise ValueError(
                    f"{path} is no model.bin of CTranslate2 in format {_VERSION}: it starts with {version}"
                )
            self.kind = self._name(file)
            self._number(file, "I")
            self.entries: dict[str, Entry] = {}
            for _ in range(self._number(file, "I")):
                name, entry = self._entry(file)
                self.entries[name] = entry
                file.seek(entry.offset + entry.size)

    def read(self, names: Collection[str]) -> dict[str, torch.Tensor]:
        """Give the values of tensors."""
        values = {}
        with self.path.open("rb") as file:
            for name in names:
                entry = self.entries[name]
                file.seek(entry.offset)
                data = bytearray(self._bytes(file, entry.size))
                values[name] = torch.frombuffer(data, dtype=entry.dtype).reshape(entry.shape)
        return values

    def _entry(self, file: BinaryIO) -> tuple[str, Entry]:
        name = self._name(file)
        shape = tuple(self._number(file, "I") for _ in range(self._number(file, "B")))
        kind, size = self._number(file, "B"), self._number(file, "I")
        offset = file.tell()
        if kind >= len(_TYPES) or size != prod(shape) * _TYPES[kind].itemsize:
            raise ValueError(f"{self.path}: tensor {name} of {list(shape)}, type {kind}, has {size} bytes: damaged")
        if offset + size > self._total:
            raise ValueError(
                f"{self.path} is cut off: tensor {name} ends at byte {offset + size} of {self._total}; fetch it again"
            )
        return name, Entry(shape, _TYPES[kind], offset, size)

    def _number(self, file: BinaryIO, kind: str) -> int:
        return struct.unpack(f"<{kind}", self._bytes(file, struct.calcsize(f"<{kind}")))[0]

    def _name(self, file: BinaryIO) -> str:
        try:
            return self._bytes(file, self._number(file, "H"))[:-1].decode("ascii")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path} is damaged: no name at byte {file.tell()}") from error

    def _bytes(self, file: BinaryIO, count: int) -> bytes:
        data = file.read(count)
        if len(data) < count:
            raise ValueError(f"{self.path} is cut off at byte {self._total}; fetch it again")
        return data
