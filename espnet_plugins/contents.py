"""What a file holds: its digest, whether it is only a stand-in for the file itself, what tells that it is damaged."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import struct
import tarfile
import zipfile
import zlib
from os import PathLike
from pathlib import Path

_BLOCK = 1 << 20
_LFS_POINTER = b"version https://git-lfs"

# What python's libraries raise for a damaged archive, and for one that asks for what they do not know, a password for
# one, or for more memory than there is.
DAMAGED_ARCHIVE: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, ValueError),
    *(NotImplementedError, RuntimeError, IndexError, KeyError, struct.error, OverflowError, MemoryError),
)


def sha256_of(path: str | PathLike[str]) -> str:
    """The SHA-256 of a file's content, read in pieces.

    Raises:
        OSError: When it cannot be read.

    Example:
        >>> sha256_of("/dev/null")[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def is_lfs_pointer(path: str | PathLike[str]) -> bool:
    """Whether a file is what git leaves where git-LFS did not fetch the content.

    Raises:
        OSError: When it cannot be read.
    """
    with Path(path).open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER
