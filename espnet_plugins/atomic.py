"""Files and folders that are there as a whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    Args:
        path: Where the finished file or folder shall stand; an old one is replaced.

    Yields:
        The temporary path, in the same folder: a rename within one file system is atomic.

    Raises:
        OSError: When it cannot be written.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "list.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("one line")
        >>> target.read_text()
        'one line'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    remove(temporary)
    try:
        yield temporary
        if temporary.is_dir():
            remove(path)
        os.replace(temporary, path)
    finally:
        remove(temporary)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, as a whole or not at all; an old one is replaced."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there.

    Raises:
        OSError: When it cannot be removed, with its whole path.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_audio(path: str | os.PathLike, data: Any, rate: int, *args: Any, **options: Any) -> None:
    """Write audio as soundfile.write does, as a whole or not at all; an old file is replaced.

    Given a path, soundfile.write puts the header last, and does not say when that did not get to a full or broken disk.

    Args:
        path: The file; its ending is the format unless `format` says it.
        data: (T,) or (T, C).
        rate: In Hz.
        args: Of soundfile.write.
        options: The same.

    Raises:
        OSError: When it cannot be written.
    """
    import soundfile

    _write_audio(soundfile.write, path, data, rate, *args, **options)


def _write_audio(write, file, data, samplerate, *args, format=None, **options) -> None:
    content, path = io.BytesIO(), Path(file)
    write(content, data, samplerate, *args, format=format or path.suffix.removeprefix(".").upper(), **options)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


@contextmanager
def whole_audio_files() -> Iterator[None]:
    """Make every soundfile.write to a path, of ESPnet's programs say, leave a whole file, or none and an error.

    Example:
        >>> import soundfile, tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.wav"
        >>> with whole_audio_files():
        ...     soundfile.write(file, [0.0, 0.5], 16000)
        >>> soundfile.read(file)[0].tolist()
        [0.0, 0.5]
    """
    import soundfile

    write = soundfile.write

    def write_whole(file, *args, **options):
        if isinstance(file, (str, os.PathLike)):
            _write_audio(write, file, *args, **options)
        else:
            write(file, *args, **options)

    soundfile.write = write_whole
    try:
        yield
    finally:
        soundfile.write = write
