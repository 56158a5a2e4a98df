"""Signals by what Kaldi's lists say of where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from local.common import audio
from local.common.steps import RecipeError


def load_audio(location: str) -> tuple[np.ndarray, int]:
    """Read a signal.

    Args:
        location: An audio file, or `archive:offset` as kaldiio writes it.

    Returns:
        Samples in [-1, 1), shape (T,), and the rate in Hz.

    Raises:
        RecipeError: When it cannot be read.
    """
    if Path(location).is_file():
        return audio.read(location)
    import kaldiio

    try:
        rate, samples = kaldiio.load_mat(location)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise RecipeError(f"{location}: cannot be read as audio ({error})") from error
    return samples, rate
