"""Signals by what Kaldi's lists say of where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from local.common import audio
from local.common.archives import READ_ERRORS, read_place
from local.common.errors import RecipeError


def load_audio(location: str) -> tuple[np.ndarray, int]:
    """Read a signal.

    Args:
        location: An audio file, or `archive:offset` as Kaldi writes it.

    Returns:
        Samples in [-1, 1), shape (T,), and the rate in Hz.

    Raises:
        RecipeError: When it cannot be read.
    """
    if Path(location).is_file():
        return audio.read(location)
    try:
        rate, samples = read_place(location)
    except READ_ERRORS as error:
        raise RecipeError(f"{location}: cannot be read as audio ({error})") from error
    return samples, rate
