"""SSL-MSE-PAD: SSL-MSE against a reference that zeros have moved to other positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from espnet_plugins.objectives.base import SSLCriterion, mean_squared_distance, sample_counts
from espnet_plugins.objectives.draws import utterance_generators
from espnet_plugins.objectives.padding import Padding, frames_between_zeros


class SSLMSEPad(SSLCriterion):
    """Mean over content frames of |x_(i + p) - x'_i|^2, with p frames of zeros before the reference.

    Frames that stand for zeros have no partner and are left out. Draws: see
    :func:`~espnet_plugins.objectives.draws.utterance_generators`.

    Source: Meghanani and Hain, ICASSP 2026, SSL-MSE-PAD.

    Args:
        fraction: [low, high] of the utterance's length, see :class:`~espnet_plugins.objectives.padding.Padding`.
        place: "before", "after", or "both".
        common: options of :class:`~espnet_plugins.objectives.base.SSLCriterion`.

    Raises:
        ValueError: for an option that is not accepted.

    Example:
        >>> SSLMSEPad(upstream={"model": "hubert_base", "pretrained": False}).padding.fraction
        (0.02, 0.05)
    """

    default_name = "ssl_mse_pad"

    def __init__(
        self, *, fraction: Sequence[float] = Padding.fraction, place: str = Padding.place, **common: Any
    ) -> None:
        super().__init__(**common)
        self.padding = Padding.from_options(self.default_name, {"fraction": fraction, "place": place})

    def distance(
        self,
        reference: torch.Tensor,
        lengths: torch.Tensor | None,
        estimate: torch.Tensor,
        frame_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Compare frame i with frame i + p."""
        before, after = self.draw(reference, sample_counts(reference, lengths))
        with torch.no_grad():
            target, _ = frames_between_zeros(self, reference, lengths, before, after)
        return mean_squared_distance(estimate, target, frame_lengths)

    def draw(self, reference: torch.Tensor, samples: Sequence[int]) -> tuple[list[int], list[int]]:
        """Draw the hops of zeros before and after each utterance of ``samples`` samples."""
        return self.padding.draw(samples, utterance_generators(reference, samples), hop=self.upstream.hop)
