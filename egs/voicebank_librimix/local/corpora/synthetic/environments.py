"""One recording per noise environment, on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from local.common.audio import write
from local.common.parallel import parallel_map
from local.corpora.synthetic.noises import recording


def _record(task: tuple[Path, str, Sequence[np.ndarray], int, int, int]) -> None:
    path, environment, talkers, size, rate, seed = task
    noise = recording(environment, talkers=talkers, size=size, rate=rate, seed=seed)
    path.parent.mkdir(parents=True)
    write(path, noise, rate)


def record_environments(
    paths: Mapping[str, Path],
    talkers: Sequence[np.ndarray],
    *,
    seconds: float,
    rate: int,
    seed: int,
    nj: int,
) -> None:
    """Make the recordings of noise environments.

    Args:
        paths: The file of each environment; its folder must not exist.
        talkers: Background speech at `rate`, each of shape (samples,), for babble and speech-shaped noise.
        seconds: Length of each recording.
        rate: In Hz.
        seed: The same seed gives the same recordings.
        nj: Parallel processes.
    """
    tasks = [(path, name, talkers, int(seconds * rate), rate, seed) for name, path in paths.items()]
    for _ in parallel_map(_record, tasks, nj=nj, description="noise", unit="place", batch=1):
        pass
