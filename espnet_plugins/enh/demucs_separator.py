"""Demucs as a separator of ESPnet's enhancement task."""

from __future__ import annotations

from typing import Any

from espnet_plugins.checks import check_conf
from espnet_plugins.enh.demucs import Demucs
from espnet_plugins.enh.waveform_separator import WaveformSeparator


class DemucsSeparator(WaveformSeparator):
    """Demucs between ESPnet's encoder and decoder `same`, which hand the waveform through.

    Args:
        input_dim: What the encoder gives per sample; 1.
        num_spk: 1; kept for configurations that name it.
        options: As `espnet_plugins.enh.demucs.Demucs`, without `chin` and `chout`.

    Raises:
        ValueError: For another encoder, several speakers, or options that Demucs does not take.

    Example:
        >>> import torch
        >>> separator = DemucsSeparator(1, hidden=4)
        >>> (enhanced,), lengths, _ = separator(torch.zeros(1, 800), torch.tensor([800]))
        >>> enhanced.shape, lengths.tolist()
        (torch.Size([1, 800]), [800])

    Source:
        Defossez, Synnaeve, Adi, "Real Time Speech Enhancement in the Waveform Domain", Interspeech 2020, section 2.
    """

    kind = "demucs"

    def __init__(self, input_dim: int, num_spk: int = 1, **options: Any):
        super().__init__(input_dim, num_spk)
        self.demucs = Demucs(**check_conf("separator demucs: separator_conf", options, Demucs, taken=("chin", "chout")))

    @property
    def algorithmic_latency(self) -> float:
        """Samples that an enhanced one waits for, where the level is that of what was heard so far."""
        return self.demucs.algorithmic_latency
