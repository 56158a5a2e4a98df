"""GTCRN as a separator of ESPnet's enhancement task."""

from __future__ import annotations

from typing import Any

from espnet_plugins.checks import check_conf
from espnet_plugins.enh.gtcrn import GTCRN
from espnet_plugins.enh.waveform_separator import WaveformSeparator


class GTCRNSeparator(WaveformSeparator):
    """GTCRN between ESPnet's encoder and decoder `same`, which hand the waveform through.

    Args:
        input_dim: What the encoder gives per sample; 1.
        num_spk: 1; kept for configurations that name it.
        options: As `espnet_plugins.enh.gtcrn.GTCRN`.

    Raises:
        ValueError: For another encoder, several speakers, or options that GTCRN does not take.

    Example:
        >>> import torch
        >>> separator = GTCRNSeparator(1)
        >>> (enhanced,), lengths, _ = separator(torch.zeros(1, 800), torch.tensor([800]))
        >>> enhanced.shape, lengths.tolist()
        (torch.Size([1, 800]), [800])

    Source:
        Rong, Sun, Zhang, Hu, Zhu, Lu, "GTCRN: A Speech Enhancement Model Requiring Ultralow Computational Resources",
        ICASSP 2024.
    """

    kind = "gtcrn"

    def __init__(self, input_dim: int, num_spk: int = 1, **options: Any):
        super().__init__(input_dim, num_spk)
        self.gtcrn = GTCRN(**check_conf("separator gtcrn: separator_conf", options, GTCRN))

    @property
    def algorithmic_latency(self) -> int:
        """Samples that an enhanced one waits for."""
        return self.gtcrn.algorithmic_latency
