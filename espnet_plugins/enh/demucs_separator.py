"""Demucs as a separator of ESPnet's enhancement task."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from espnet2.enh.separator.abs_separator import AbsSeparator

from espnet_plugins.checks import check_conf
from espnet_plugins.enh.demucs import Demucs


class DemucsSeparator(AbsSeparator):
    """Demucs between ESPnet's encoder and decoder `same`, which hand the waveform through.

    Args:
        input_dim: What the encoder gives per sample; 1.
        num_spk: 1; kept for configurations that name it.
        options: As `espnet_plugins.enh.demucs.Demucs`, without `chin` and `chout`.

    Raises:
        ValueError: For another encoder, several speakers, or options that Demucs does not take.

    Example:
        >>> separator = DemucsSeparator(1, hidden=4)
        >>> (enhanced,), lengths, _ = separator(torch.zeros(1, 800), torch.tensor([800]))
        >>> enhanced.shape, lengths.tolist()
        (torch.Size([1, 800]), [800])

    Source:
        Defossez, Synnaeve, Adi, "Real Time Speech Enhancement in the Waveform Domain", Interspeech 2020, section 2.
    """

    # One pass over a padded batch gives each utterance what it gives it alone.
    length_aware = True

    def __init__(self, input_dim: int, num_spk: int = 1, **options: Any):
        super().__init__()
        if input_dim != 1:
            raise ValueError("separator demucs takes waveforms: set encoder: same and decoder: same")
        if num_spk != 1:
            raise ValueError(f"separator demucs: num_spk: {num_spk!r} is not accepted; it gives one signal")
        self.demucs = Demucs(**check_conf("separator demucs: separator_conf", options, Demucs, taken=("chin", "chout")))

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
        return [self.demucs(input, ilens)], ilens, OrderedDict()

    @property
    def num_spk(self) -> int:
        """How many signals it gives."""
        return 1

    @property
    def delay(self) -> float:
        """Samples that an enhanced one waits for, where the level is that of what was heard so far."""
        return self.demucs.delay
