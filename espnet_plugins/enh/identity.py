"""No enhancement at all, where ESPnet's joint model wants a separator."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from espnet2.enh.separator.abs_separator import AbsSeparator


class Identity(AbsSeparator):
    """Gives its input as the estimate; with ESPnet's encoder and decoder `same`, the recognizer hears the noisy speech.

    Args:
        input_dim: Ignored; ESPnet gives it to every separator.

    Example:
        >>> noisy = torch.ones(1, 4)
        >>> (estimate,), lengths, _ = Identity(1)(noisy, torch.tensor([4]))
        >>> estimate is noisy
        True
    """

    def __init__(self, input_dim: int):
        super().__init__()

    @property
    def num_spk(self) -> int:
        """One."""
        return 1

    def forward(
        self, input: torch.Tensor, ilens: torch.Tensor, additional: dict | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor, OrderedDict[str, Any]]:
        """Pass the features (B, N, D) and their lengths (B,) on."""
        return [input], ilens, OrderedDict()
