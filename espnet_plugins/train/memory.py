"""The peak memory of a training, left in a file beside its models."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import torch

from espnet_plugins.atomic import write_text

FILE = "peak_memory.json"


def record_peak_memory(folder: Path) -> None:
    """Write what this process has needed at most so far; a training in several pieces keeps the largest.

    Args:
        folder: The training's directory.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> record_peak_memory(folder)
        >>> json.loads((folder / FILE).read_text())["host_bytes"] > 1e7
        True
    """
    # Linux gives kibibytes.
    peaks = {"host_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "gpu_bytes": 0}
    if torch.cuda.is_available():
        peaks["gpu_bytes"] = torch.cuda.max_memory_reserved()
    path = folder / FILE
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        peaks = {name: max(value, earlier.get(name, 0)) for name, value in peaks.items()}
    write_text(path, json.dumps(peaks) + "\n")
