"""The listening part of a report: which utterances, their audio, spectrograms and aligned transcripts."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from io import BytesIO

import numpy as np

from espnet_plugins.analysis.scoring.errors import align_words
from espnet_plugins.analysis.scoring.scores import Scores

# Loudness of everything that is played, relative to full scale; peaks are kept below it.
_RMS, _PEAK = 0.06, 0.95
# Of the spectrograms: window and hop in seconds, dynamic range in dB, number of frequency rows.
_WINDOW, _HOP, _RANGE, _ROWS = 0.032, 0.01, 70.0, 128


@dataclasses.dataclass(frozen=True)
class Version:
    """One signal of an utterance.

    Args:
        label: Whose output it is.
        audio: FLAC as a `data:` address.
        spectrogram: WebP as a `data:` address.
        seconds: Duration.
        words: Aligned transcript: (operation, word said, word heard); None for a signal that nobody
            transcribed.
        errors: Word errors in it.
    """

    label: str
    audio: str
    spectrogram: str
    seconds: float
    words: list[tuple[str, str, str]] | None
    errors: int


@dataclasses.dataclass(frozen=True)
class Example:
    """One utterance, in every version.

    Args:
        dataset: Its test set.
        utterance: Its id.
        condition: Noise and SNR.
        reference: What was said.
        versions: Clean and noisy speech, and every system's output.
        alignment: Picture of the soft alignment of an estimate with its reference at another speed; empty for none.
        aligned: Whose estimate that is.
    """

    dataset: str
    utterance: str
    condition: str
    reference: str
    versions: list[Version]
    alignment: str = ""
    aligned: str = ""


def choose_examples(
    scores: Scores, systems: Sequence[str], *, among: Mapping[str, Collection[str]], count: int
) -> list[tuple[str, str]]:
    """Find the utterances on which systems differ most in word errors.

    Args:
        scores: System -> test set -> score.
        systems: The systems to compare.
        among: Test set -> utterances to choose from.
        count: How many; every test set gets about the same number.

    Returns:
        Test set and utterance id, the largest differences first.
    """
    ranked = {}
    for dataset, utterances in among.items():
        spreads = []
        for utt in utterances:
            errors = [scores[system][dataset].utterances[utt].words.errors for system in systems]
            spreads.append((max(errors) - min(errors), float(np.var(errors)), utt))
        # By id where the differences are equal, so that the choice repeats.
        ranked[dataset] = sorted(spreads, key=lambda entry: (-entry[0], -entry[1], entry[2]))
    share = -(-count // max(len(ranked), 1))
    chosen = [(-entry[0], -entry[1], d, entry[2]) for d, top in ranked.items() for entry in top[:share]]
    return [(dataset, utt) for _, _, dataset, utt in sorted(chosen)[:count]]


def make_version(
    label: str, samples: np.ndarray, rate: int, *, reference: str = "", hypothesis: str | None = None
) -> Version:
    """Prepare one signal for the page.

    Args:
        label: Whose output it is.
        samples: Shape (T,).
        rate: In Hz.
        reference: What was said.
        hypothesis: What was recognized; None when nobody transcribed it.
    """
    signal = equalize(samples)
    words = None if hypothesis is None else list(align_words(reference, hypothesis))
    return Version(
        label=label,
        audio=_data_address(_flac(signal, rate), "audio/flac"),
        spectrogram=_data_address(_spectrogram_image(signal, rate), "image/webp"),
        seconds=len(signal) / rate,
        words=words,
        errors=sum(operation != "equal" for operation, _, _ in words or []),
    )


def equalize(samples: np.ndarray) -> np.ndarray:
    """Scale a signal to a common loudness, its peaks below full scale; silence stays silence.

    Example:
        >>> quiet = 1e-3 * np.sin(np.arange(8000))
        >>> round(float(np.sqrt(np.mean(equalize(quiet) ** 2))), 3)
        0.06
    """
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    if level == 0.0:
        return samples
    return samples * min(_RMS / level, _PEAK / float(np.max(np.abs(samples))))


def spectrogram(signal: np.ndarray, rate: int) -> np.ndarray:
    """Power in dB below its maximum, shape (frequencies from high to low, frames)."""
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    size = round(_WINDOW * rate)
    transform = ShortTimeFFT(hann(size, sym=False), round(_HOP * rate), rate, mfft=max(size, 2 * _ROWS))
    padded = np.pad(signal, (0, max(0, size - len(signal))))
    power = transform.spectrogram(padded)
    bands = power[: len(power) // _ROWS * _ROWS].reshape(_ROWS, -1, power.shape[1]).mean(axis=1)
    level = 10.0 * np.log10(np.maximum(bands / max(float(bands.max()), 1e-20), 10.0 ** (-_RANGE / 10)))
    return level[::-1]


def _spectrogram_image(signal: np.ndarray, rate: int) -> bytes:
    from matplotlib import colormaps
    from PIL import Image

    shades = (spectrogram(signal, rate) + _RANGE) / _RANGE
    pixels = colormaps["magma"](shades, bytes=True)[..., :3]
    stream = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="WEBP", quality=60)
    return stream.getvalue()


def _flac(signal: np.ndarray, rate: int) -> bytes:
    import soundfile

    stream = BytesIO()
    soundfile.write(stream, signal, rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


def _data_address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
