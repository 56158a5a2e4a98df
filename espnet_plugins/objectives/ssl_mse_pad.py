"""SSL-MSE-PAD: SSL-MSE against a reference that zeros have moved to other positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from espnet_plugins.objectives.base import FrameOptions, SSLOptions, sample_counts
from espnet_plugins.objectives.draws import utterance_generators
from espnet_plugins.objectives.padding import Padding, frames_between_zeros, rooms
from espnet_plugins.objectives.ssl_mse import SSLMSE


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSLMSEPadOptions(SSLOptions):
    """Options of :class:`SSLMSEPad`, besides those of :class:`~espnet_plugins.objectives.base.SSLOptions`.

    Args:
        fraction: [low, high] of the utterance's length, see :class:`~espnet_plugins.objectives.padding.Padding`.
        place: "before", "after", or "both".
    """

    fraction: Sequence[float] = Padding.fraction
    place: str = Padding.place


class SSLMSEPad(SSLMSE):
    """Mean over content frames of |x_(i + p) - x'_i|^2, with p frames of zeros before the reference.

    Frames that stand for zeros have no partner and are left out. There are no more zeros than an upstream of limited
    length (Whisper: 30 s) has room for. Draws: see
    :func:`~espnet_plugins.objectives.draws.utterance_generators`.

    Source: Meghanani and Hain, ICASSP 2026, SSL-MSE-PAD.

    Args:
        options: fields of :class:`SSLMSEPadOptions`.

    Raises:
        ValueError: for an option that is not accepted.

    Example:
        >>> SSLMSEPad(upstream={"model": "hubert_base", "pretrained": False}).padding.fraction
        (0.02, 0.05)
    """

    default_name = "ssl_mse_pad"

    Options: ClassVar[type[FrameOptions]] = SSLMSEPadOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        given: SSLMSEPadOptions = self.options
        self.padding = Padding.from_options(self.default_name, {"fraction": given.fraction, "place": given.place})
        if self.cache is not None:
            raise ValueError(
                f"{self.default_name}: reference_cache: the zeros around a reference are drawn anew each time"
            )

    def reference_frames(
        self, reference: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of the reference between zeros: as many as without, at other positions."""
        before, after = self.draw(reference, sample_counts(reference, lengths))
        with torch.no_grad():
            return frames_between_zeros(self, reference, lengths, before, after)

    def draw(self, reference: torch.Tensor, samples: Sequence[int]) -> tuple[list[int], list[int]]:
        """Draw the hops of zeros before and after each utterance of ``samples`` samples."""
        hop_length = self.upstream.hop_length
        room = rooms(samples, self.upstream.longest, hop_length=hop_length)
        return self.padding.draw(samples, utterance_generators(reference, samples), hop_length=hop_length, room=room)
