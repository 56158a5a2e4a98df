"""Peak memory of a call."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import torch


def peak_memory(call: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that a call needs at its worst moment, beyond what was held before.

    On the host that is resident memory, after freed memory went back to the system: whatever the call touches
    counts, through whichever allocator it came. Call it once before, so that libraries have set up what they keep.

    Args:
        call: Without arguments; what it returns is dropped.
        device: Whose memory.

    Returns:
        The bytes, or None where the system does not tell (anything but Linux, without a GPU).
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - held
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return None
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def _resident(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
