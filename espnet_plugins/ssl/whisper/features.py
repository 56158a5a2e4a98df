"""Whisper's log-mel spectrogram, differentiable."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

SAMPLE_RATE = 16000
HOP = 160
_WINDOW = 400
# What the recognizer always sees.
LONGEST = 30 * SAMPLE_RATE


class LogMel(torch.nn.Module):
    """Log-mel spectrogram of Whisper, on the utterance's own samples or on a window of 30 s.

    log10 of at least 1e-10, raised to the utterance's maximum less 8, then (x + 4) / 4. The maximum counts as a
    constant in the gradient: else the loudest cell would gather the gradients of all the quiet ones.

    Source: Radford et al., "Robust speech recognition via large-scale weak supervision", 2022, section 2.2.

    Args:
        mels: bands, 80 or (large-v3) 128.
        window: append zeros up to 30 s.

    Example:
        >>> LogMel(80)(torch.zeros(1, 1600)).shape
        torch.Size([1, 80, 10])
    """

    hann: torch.Tensor
    filters: torch.Tensor

    def __init__(self, mels: int, *, window: bool = False) -> None:
        super().__init__()
        from torchaudio.functional import melscale_fbanks

        self.window = window
        filters = melscale_fbanks(_WINDOW // 2 + 1, 0.0, SAMPLE_RATE / 2, mels, SAMPLE_RATE, "slaney", "slaney")
        self.register_buffer("hann", torch.hann_window(_WINDOW), persistent=False)
        self.register_buffer("filters", filters.T.contiguous(), persistent=False)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Give the spectrogram (B, mels, T // 160) of utterances (B, T) of one length, or (B, mels, 3000).

        Fewer than 201 samples, which cannot be mirrored at their ends, are followed by zeros.
        """
        samples = waveform.shape[1]
        least = LONGEST if self.window else _WINDOW // 2 + 1
        if samples < least:
            waveform = pad(waveform, (0, least - samples))
        spectrum = torch.stft(
            waveform, _WINDOW, HOP, window=self.hann.to(waveform), pad_mode="reflect", return_complex=True
        )[..., :-1]
        power = spectrum.real.square() + spectrum.imag.square()
        logarithm = (self.filters.to(waveform) @ power).clamp(min=1e-10).log10()
        floor = logarithm.detach().amax((1, 2), keepdim=True) - 8.0
        return (torch.maximum(logarithm, floor) + 4.0) / 4.0
