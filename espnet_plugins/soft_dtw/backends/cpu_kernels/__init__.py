"""Numba kernels of the CPU backend: `strips` says how they cut the work, `forward` and `backward` do it."""

from espnet_plugins.soft_dtw.backends.cpu_kernels.backward import backward_strips, join_spans
from espnet_plugins.soft_dtw.backends.cpu_kernels.forward import forward_strips
from espnet_plugins.soft_dtw.backends.cpu_kernels.offsets import any_large_offset
from espnet_plugins.soft_dtw.backends.cpu_kernels.products import multiply_strips
from espnet_plugins.soft_dtw.backends.cpu_kernels.strips import (
    ABOVE,
    CHUNK,
    LANES,
    MASKED_COST,
    PAIR,
    ROW,
    STEPS,
    Costs,
    Geometry,
    Matrices,
    Queue,
    strip_table,
)

__all__ = [
    "ABOVE",
    "CHUNK",
    "LANES",
    "MASKED_COST",
    "PAIR",
    "ROW",
    "STEPS",
    "Costs",
    "Geometry",
    "Matrices",
    "Queue",
    "any_large_offset",
    "backward_strips",
    "forward_strips",
    "join_spans",
    "multiply_strips",
    "strip_table",
]
