"""Kaldi's archives of audio: read and written by omniio where it is installed (MIT), else by kaldiio.

The two write the same bytes and read each other's (tests/recipe/common/test_archives.py). kaldiio's license allows
evaluation alone; ESPnet 202511 needs it, ESPnet 202611 comes with omniio.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np

# What either raises for places that are no sound in an archive.
READ_ERRORS = (OSError, ValueError, RuntimeError, TypeError, AssertionError)


def _library() -> Any:
    try:
        return import_module("omniio.kaldi")
    except ImportError:
        return import_module("kaldiio")


def append_flac(archive: BinaryIO, name: str, signal: np.ndarray, *, rate: int) -> int:
    """Add a signal to an archive.

    Args:
        archive: A file that is open for writing.
        name: The utterance.
        signal: (T,) int16.
        rate: Samples per second.

    Returns:
        The place in the file that a list refers to.

    Example:
        >>> import io
        >>> append_flac(io.BytesIO(), "utt", np.zeros(100, np.int16), rate=16000)
        4
    """
    place = archive.tell() + len(name.encode()) + 1
    options = {"write_function": "soundfile", "write_kwargs": {"format": "flac"}}
    _library().save_ark(archive, {name: (rate, signal)}, **options)
    return place


def read_place(location: str) -> tuple[int, np.ndarray]:
    """Read `archive:offset`: rate and samples.

    Raises:
        OSError, ValueError, RuntimeError, TypeError, AssertionError: READ_ERRORS, when no sound is there.
    """
    return _library().load_mat(location)


def read_list(path: str) -> Mapping[str, tuple[int, np.ndarray]]:
    """The signals of a list, each read when it is asked for: utterance -> rate and samples."""
    return _library().load_scp(path)
