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

import yaml

_BLOCK = 1 << 20
_LFS_POINTER = b"version https://git-lfs"

# What python's libraries raise for a damaged archive, and for one that asks for what they do not know, a password for
# one, or for more memory than there is.
DAMAGED_ARCHIVE: tuple[type[Exception], ...] = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, ValueError),
    *(NotImplementedError, RuntimeError, IndexError, KeyError, struct.error, OverflowError, MemoryError),
)

# What reading YAML raises: its own errors, another encoding, a number of thousands of digits, a date that is none.
DAMAGED_YAML: tuple[type[Exception], ...] = (yaml.YAMLError, ValueError, AttributeError, RecursionError)


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


def is_file(path: Path) -> bool:
    """Whether a file is there; not where the text is none that a file system takes (too long for a name, say).

    Example:
        >>> is_file(Path("/dev/null")), is_file(Path(9999 * "x"))
        (False, False)
    """
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether a folder is there; see `is_file`.

    Example:
        >>> is_folder(Path("/dev")), is_folder(Path(9999 * "x"))
        (True, False)
    """
    try:
        return path.is_dir()
    except OSError:
        return False


def is_lfs_pointer(path: str | PathLike[str]) -> bool:
    """Whether a file is what git leaves where git-LFS did not fetch the content.

    Raises:
        OSError: When it cannot be read.
    """
    with Path(path).open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER


class WholeTarInfo(tarfile.TarInfo):
    """A member of a tar archive for `tarfile.open(path, tarinfo=WholeTarInfo)`.

    Where a header behind the first is damaged, or the archive is cut off in front of one, python takes that for the
    archive's end, and what follows is lost without a word. Here it is an error.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> WholeTarInfo:
        """Read a header.

        Raises:
            tarfile.ReadError: When it is damaged or not there.
        """
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"its list of members is cut off or damaged ({error})") from None
