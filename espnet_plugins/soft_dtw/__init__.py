"""Soft-DTW for speech: exact, batched, any length, on tensors only."""

from espnet_plugins.soft_dtw.functional import (
    soft_alignment,
    soft_dtw,
    soft_dtw_divergence,
    soft_dtw_from_cost,
)
from espnet_plugins.soft_dtw.module import SoftDTW

__all__ = ["SoftDTW", "soft_alignment", "soft_dtw", "soft_dtw_divergence", "soft_dtw_from_cost"]
