"""DEMAND (Thiemann, Ito, Vincent, 2013, Zenodo 1227121): where the recording of an environment lies."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from local.common.audio import SAMPLE_RATE, inspect, read, resample, write
from local.common.kaldi_dir import DataError
from local.corpora.corpus import Published, register_corpus

# Environments of the noise-augmented LibriSpeech of NR-SSFT: known in training, and kept for tests.
SEEN = (
    *("DKITCHEN", "DWASHING", "DLIVING", "TMETRO", "TBUS", "TCAR"),
    *("OOFFICE", "OHALLWAY", "OMEETING", "PSTATION", "PCAFETER", "PRESTO"),
)
UNSEEN = ("NFIELD", "NRIVER", "NPARK", "STRAFFIC", "SPSQUARE", "SCAFE")
ENVIRONMENTS = SEEN + UNSEEN
# The archive offers this one at 48 kHz alone.
ONLY_48K = ("SCAFE",)


def find_recording(root: Path, environment: str) -> Path:
    """Find the first channel of an environment.

    Args:
        root: The corpus: `<ENV>_16k/<ENV>/ch01.wav`, `<ENV>/ch01.wav` or `<ENV>_48k/<ENV>/ch01.wav`.
        environment: One of ENVIRONMENTS.

    Returns:
        The file, of either rate; that at 16 kHz where both are there.

    Raises:
        DataError: When there is no such recording.
    """
    folders = (f"{environment}_16k/{environment}", environment, f"{environment}_48k/{environment}")
    candidates = [root / folder / "ch01.wav" for folder in folders]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        archive = f"{environment}_{48 if environment in ONLY_48K else 16}k"
        raise DataError(f"{root} lacks {environment}: unpack {archive}.zip into {root / archive}")
    return found


def recording_16k(root: Path, environment: str, *, made: Path) -> Path:
    """Find the first channel of an environment at 16 kHz, resampling it where only 48 kHz is there.

    Args:
        root: The corpus.
        environment: One of ENVIRONMENTS.
        made: Where a resampled recording is kept, in the same layout.

    Returns:
        A mono file at 16 kHz; one made here was resampled by soxr HQ.

    Raises:
        DataError: When there is no such recording.
    """
    own = made / f"{environment}_16k" / environment / "ch01.wav"
    if own.is_file():
        return own
    found = find_recording(root, environment)
    if inspect(found).rate == SAMPLE_RATE:
        return found
    signal, rate = read(found)
    write(own, resample(signal, rate))
    return own


@register_corpus("demand")
class Demand(Published):
    """Recordings of noise; the parts are environments."""

    folder = "demand"
    variables = ("DEMAND",)

    def verify(self, root: Path, parts: Collection[str]) -> dict[str, int]:
        """See that the environments are there, at a rate that is known."""
        found = {}
        for environment in sorted(parts):
            path = find_recording(root, environment)
            info = inspect(path)
            if info.rate not in (SAMPLE_RATE, 3 * SAMPLE_RATE):
                raise DataError(f"{path} is sampled at {info.rate} Hz, not 16 or 48 kHz")
            found[environment] = info.frames
        return found
