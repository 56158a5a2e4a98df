"""Soft-DTW as a module: holds the options, calls the function."""

from typing import Any

import torch

from espnet_plugins.soft_dtw.functional import Lengths, soft_dtw, soft_dtw_divergence
from espnet_plugins.soft_dtw.pairs import Bandwidth


class SoftDTW(torch.nn.Module):
    """Soft-DTW value, or divergence, of each pair of sequences.

    Args:
        gamma: as in `soft_dtw`.
        divergence: give `soft_dtw_divergence` instead of `soft_dtw`.
        bandwidth: as in `soft_dtw`.
        distance: as in `soft_dtw`.
        normalize: as in `soft_dtw`.
        backend: as in `soft_dtw`.

    Example:
        >>> import torch
        >>> from espnet_plugins.soft_dtw import SoftDTW
        >>> SoftDTW(gamma=0.1, divergence=True)(torch.rand(2, 7, 3), torch.rand(2, 5, 3)).shape
        torch.Size([2])
    """

    def __init__(
        self,
        *,
        gamma: float = 1.0,
        divergence: bool = False,
        bandwidth: Bandwidth = None,
        distance: str = "sqeuclidean",
        normalize: str | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.divergence = divergence
        self.options: dict[str, Any] = {
            "gamma": gamma,
            "bandwidth": bandwidth,
            "distance": distance,
            "normalize": normalize,
            "backend": backend,
        }

    def forward(
        self, x: torch.Tensor, y: torch.Tensor, x_lengths: Lengths = None, y_lengths: Lengths = None
    ) -> torch.Tensor:
        """Value of each pair; see `soft_dtw`.

        Args:
            x: (B, N, D) frames.
            y: (B, M, D) frames.
            x_lengths: (B,) valid frames of each x, or None for all.
            y_lengths: (B,) valid frames of each y, or None for all.

        Returns:
            (B,), unreduced.
        """
        function = soft_dtw_divergence if self.divergence else soft_dtw
        return function(x, y, x_lengths, y_lengths, **self.options)

    def extra_repr(self) -> str:
        """The options, for print(module)."""
        return ", ".join(f"{k}={v!r}" for k, v in {"divergence": self.divergence, **self.options}.items())
