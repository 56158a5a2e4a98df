"""Networks from waveform to waveform as separators of ESPnet's enhancement task."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import torch
from espnet2.enh.separator.abs_separator import AbsSeparator


class WaveformSeparator(AbsSeparator):
    """A network that takes a padded batch of waveforms, between ESPnet's encoder and decoder `same`.

    A subclass sets `network` (called with waveforms (B, T) and lengths (B,); with an attribute `algorithmic_latency`).

    Args:
        input_dim: What the encoder gives per sample; 1.
        num_spk: 1; kept for configurations that name it.

    Raises:
        ValueError: For another encoder or several speakers.
    """

    # One pass over a padded batch gives each utterance what it gives it alone.
    length_aware = True
    kind: ClassVar[str]

    def __init__(self, input_dim: int, num_spk: int = 1):
        super().__init__()
        if input_dim != 1:
            raise ValueError(f"separator {self.kind} takes waveforms: set encoder: same and decoder: same")
        if num_spk != 1:
            raise ValueError(f"separator {self.kind}: num_spk: {num_spk!r} is not accepted; it gives one signal")

    @property
    def network(self) -> torch.nn.Module:
        """The network, under the name that checkpoints have for it."""
        return self.get_submodule(self.kind)

    def forward(
        self, input: torch.Tensor, ilens: torch.Tensor, additional: dict | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor, OrderedDict]:
        """Enhance a padded batch.

        Args:
            input: (B, T) waveform.
            ilens: (B,) in samples.
            additional: Not used.

        Returns:
            One (B, T) estimate in a list, `ilens`, and no statistics.
        """
        return [self.network(input, ilens)], ilens, OrderedDict()

    @property
    def num_spk(self) -> int:
        """How many signals it gives."""
        return 1
