"""SSL-MSE-PAD: SSL-MSE against a reference that zeros have moved to other positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from espnet_plugins.checks import check_choice
from espnet_plugins.objectives.base import (
    SSLCriterion,
    mean_squared_distance,
    probability_interval,
    sample_counts,
)
from espnet_plugins.objectives.draws import integer, uniform, utterance_generators
from espnet_plugins.perturb import zero_pad

PLACES = ("before", "after", "both")


class SSLMSEPad(SSLCriterion):
    """Mean over content frames of |x_(i + p) - x'_i|^2, with p frames of zeros before the reference.

    For T samples, a fraction is drawn uniformly and fraction * T is rounded to whole frame hops. Frames that
    stand for zeros have no partner and are left out. Draws: see
    :func:`~espnet_plugins.objectives.draws.utterance_generators`.

    Source: Meghanani and Hain, ICASSP 2026, SSL-MSE-PAD; the paper leaves the place of the zeros open.

    Args:
        fraction: [low, high] of the utterance's length.
        place: "before", "after", or "both": the hops are split between the two at random.
        common: options of :class:`~espnet_plugins.objectives.base.SSLCriterion`.

    Raises:
        ValueError: for an option that is not accepted.

    Example:
        >>> SSLMSEPad(upstream={"model": "hubert_base", "pretrained": False}).fraction
        (0.02, 0.05)
    """

    default_name = "ssl_mse_pad"

    def __init__(self, *, fraction: Sequence[float] = (0.02, 0.05), place: str = "both", **common: Any) -> None:
        super().__init__(**common)
        self.fraction = probability_interval(f"{self.default_name}: fraction", fraction)
        self.place = check_choice(f"{self.default_name}: place", place, PLACES)

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
            padded = zero_pad(reference, lengths, before, after, hop=self.upstream.hop)
            target, _ = self.frames(padded.waveform, padded.lengths)
            index = torch.arange(estimate.shape[1], device=target.device)
            partner = (padded.offset[:, None] + index).clamp(max=target.shape[1] - 1)
            target = target.gather(1, partner[..., None].expand(-1, -1, target.shape[2]))
            target = target.masked_fill((index >= frame_lengths[:, None])[..., None], 0.0)
        return mean_squared_distance(estimate, target, frame_lengths)

    def draw(self, reference: torch.Tensor, samples: Sequence[int]) -> tuple[list[int], list[int]]:
        """Draw the hops of zeros before and after each utterance of ``samples`` samples."""
        before, after = [], []
        for length, generator in zip(samples, utterance_generators(reference, samples), strict=True):
            hops = round(uniform(*self.fraction, generator) * length / self.upstream.hop)
            front = {"before": hops, "after": 0}.get(self.place)
            before.append(integer(hops + 1, generator) if front is None else front)
            after.append(hops - before[-1])
        return before, after
