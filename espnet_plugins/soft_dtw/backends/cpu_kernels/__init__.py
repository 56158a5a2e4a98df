"""Numba kernels of the CPU backend: `strips` says how they cut the work, `forward` and `backward` do it."""

from espnet_plugins.soft_dtw.backends.cpu_kernels.backward import backward_strips
from espnet_plugins.soft_dtw.backends.cpu_kernels.forward import forward_strips
from espnet_plugins.soft_dtw.backends.cpu_kernels.strips import (
    CHUNK,
    LANES,
    MASKED_COST,
    PAIR,
    STEPS,
    Geometry,
    Matrices,
    Queue,
    Saved,
    strip_table,
)

__all__ = [
    "CHUNK",
    "LANES",
    "MASKED_COST",
    "PAIR",
    "STEPS",
    "Geometry",
    "Matrices",
    "Queue",
    "Saved",
    "backward_strips",
    "forward_strips",
    "strip_table",
]
