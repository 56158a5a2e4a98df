"""Contrastive temporal regularizer: keeps the frames of one sequence apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from espnet_plugins.checks import check_mapping, check_number


@dataclass(frozen=True)
class TemporalRegularizer:
    """Contrastive-IDM of a sequence with itself.

    With D_ij = |x_i - x_j|, W_ij = (i - j)^2 + 1 and n frames: the sum of W_ij max(margin - D_ij, 0) over
    |i - j| > sigma and of D_ij / W_ij over the others, divided by n^2.

    Source: Haresh et al., "Learning by aligning videos in time", CVPR 2021; values as in Meghanani and
    Hain's fine-tuning of HuBERT.

    Args:
        weight: factor in the objective (alpha).
        margin: distance from which frames count as apart, for L2-normalized frames.
        sigma: frames at most so far from each other are pulled together instead.

    Example:
        >>> regularizer = TemporalRegularizer(weight=1.0, margin=1.0)
        >>> frames = torch.tensor([[[0.0], [0.5]]])
        >>> regularizer(frames, torch.tensor([2])).item()  # 2 pairs * weight 2 * (1 - 0.5) / 4
        0.5
    """

    weight: float = 0.4
    margin: float = 1.1
    sigma: float = 0.0

    @classmethod
    def from_options(cls, owner: str, options: Any) -> TemporalRegularizer | None:
        """Make it from a mapping out of YAML; None stays None."""
        if options is None:
            return None
        values: Mapping[str, Any] = check_mapping(owner, options, ("weight", "margin", "sigma"))
        return cls(**{key: check_number(f"{owner}.{key}", value, low=0) for key, value in values.items()})

    def __call__(self, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Compute it, without ``weight``, for frames (B, N, D) of (B,) lengths: (B,)."""
        index = torch.arange(frames.shape[1], device=frames.device)
        apart = (index[:, None] - index[None, :]).abs()
        weighting = apart.square() + 1.0
        # Matrix products would lose the small distances that matter here.
        distance = torch.cdist(frames, frames, compute_mode="donot_use_mm_for_euclid_dist")
        cost = torch.where(apart > self.sigma, weighting * (self.margin - distance).clamp(min=0), distance / weighting)
        valid = index < lengths[:, None]
        valid_pairs = valid[:, :, None] & valid[:, None, :]
        return cost.masked_fill(~valid_pairs, 0.0).sum((1, 2)) / lengths.square()
