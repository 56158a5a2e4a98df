"""Kaldi's filterbank features as w2v-BERT takes them, differentiable."""

from __future__ import annotations

import torch

SAMPLE_RATE = 16000
# (kernel, stride) in samples, then in frames: what tells how many frames there are.
CONVOLUTIONS = ((400, 160), (2, 2))
_WINDOW, _HOP = CONVOLUTIONS[0]
_STACKED = CONVOLUTIONS[1][0]
_FFT = 512
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_FULL_SCALE = 2.0**15  # of 16-bit samples
_FLOOR = 1.192092955078125e-07
_VARIANCE_FLOOR = 1e-7


class Filterbank(torch.nn.Module):
    """Logarithms of Kaldi's mel filterbank, each band of zero mean and unit variance, two frames side by side.

    Frames of 400 samples every 160, none beyond the end; in each the mean taken off, pre-emphasis, Povey's window, the
    power spectrum. A last frame without a partner is left out.

    Source: Povey et al., "The Kaldi speech recognition toolkit", 2011; w2v-BERT 2.0: Seamless Communication et al.,
    "Seamless: multilingual expressive and streaming speech translation", 2023.

    Args:
        mels: bands.

    Example:
        >>> Filterbank(80)(torch.zeros(1, 1600)).shape
        torch.Size([1, 4, 160])
    """

    window: torch.Tensor
    filters: torch.Tensor

    def __init__(self, mels: int) -> None:
        super().__init__()
        from torchaudio.compliance.kaldi import get_mel_banks

        banks, _ = get_mel_banks(mels, _FFT, SAMPLE_RATE, _LOWEST_HZ, SAMPLE_RATE / 2, 100.0, -500.0, 1.0)
        window = torch.hann_window(_WINDOW, periodic=False, dtype=torch.float64) ** 0.85
        self.register_buffer("window", window.float(), persistent=False)
        # No filter reaches half the sample rate itself.
        self.register_buffer("filters", torch.nn.functional.pad(banks, (0, 1)), persistent=False)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Give features (B, N, 2 * mels) of utterances (B, T) of one length, at least 560 samples."""
        frames = _FULL_SCALE * waveform.unfold(1, _WINDOW, _HOP)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        spectrum = torch.fft.rfft((frames - _PREEMPHASIS * before) * self.window.to(frames), _FFT)
        power = spectrum.real.square() + spectrum.imag.square()
        logarithm = (power @ self.filters.to(power).T).clamp(min=_FLOOR).log()
        variance, mean = torch.var_mean(logarithm, dim=1, keepdim=True)
        normalized = (logarithm - mean) / (variance + _VARIANCE_FLOOR).sqrt()
        count = normalized.shape[1] // _STACKED
        return normalized[:, : count * _STACKED].reshape(len(waveform), count, -1)
