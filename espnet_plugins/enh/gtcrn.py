"""GTCRN for speech enhancement: a mask on spectra from grouped convolutions and recurrences, 48 thousand numbers."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from espnet_plugins.enh.lengths import mask_padding

# Samples of a window; from one frame to the next; frequencies.
N_FFT, HOP_LENGTH, N_BINS = 512, 256, 257
# Lowest bins that are kept as they are, and bands that stand for the others.
N_LOW, N_BANDS = 65, 64
SAMPLE_RATE = 16_000
CHANNELS, WIDTH = 16, 33
_DILATIONS = (1, 2, 5)


class BlockState(NamedTuple):
    """What a temporal block knows of the frames before.

    Args:
        frames: (B, C, n, F) inputs of its convolution over time.
        attention: (1, B, C) of its recurrence.
    """

    frames: torch.Tensor
    attention: torch.Tensor


class State(NamedTuple):
    """What the network knows of the frames before.

    Args:
        blocks: Of each temporal block, those of the encoder first.
        recurrences: Of each dual-path block: that of each group, (1, B * F, C / 2).
    """

    blocks: list[BlockState]
    recurrences: list[list[torch.Tensor]]


def band_filters() -> torch.Tensor:
    """Triangular filters of equal width on the scale of equivalent rectangular bandwidths, over the upper bins.

    Returns:
        (N_BANDS, N_BINS - N_LOW); at each bin they sum to 1.

    Example:
        >>> filters = band_filters()
        >>> filters.shape, bool(filters.sum(0).isclose(torch.ones(192)).all())
        (torch.Size([64, 192]), True)

    Source:
        Rong et al., ICASSP 2024, section 2.1; the scale: 21.4 log10(1 + 0.00437 f), f in Hz.
    """
    lowest, highest = 21.4 * np.log10(1 + 0.00437 * np.array([N_LOW * SAMPLE_RATE / N_FFT, SAMPLE_RATE / 2]))
    peaks = np.linspace(lowest, highest, N_BANDS)
    peaks = np.round((10 ** (peaks / 21.4) - 1) / 0.00437 / SAMPLE_RATE * N_FFT)
    bins = np.arange(N_LOW, N_BINS)
    filters = [np.interp(bins, peaks, one) for one in np.eye(N_BANDS)]
    return torch.from_numpy(np.stack(filters).astype(np.float32))


class FrameNorm(nn.BatchNorm2d):
    """Batch normalization over valid frames: padding is in no mean.

    Args:
        channels: Channels.
        frozen: Keep to the statistics that it has, in training, too; scale and offset can be trained all the same.
    """

    def __init__(self, channels: int, *, frozen: bool = False):
        super().__init__(channels)
        self.frozen = frozen

    def train(self, mode: bool = True) -> FrameNorm:
        """As nn.Module, but for one that is frozen."""
        return super().train(mode and not self.frozen)

    def forward(self, x: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """Normalize (B, C, N, F).

        Args:
            x: (B, C, N, F).
            valid: (B, N) booleans; None for all frames. Evaluation does not need it: each frame is by itself.

        Returns:
            (B, C, N, F), in training zero in frames that are not valid.
        """
        if valid is None or not self.training:
            return super().forward(x)
        by_frame = x.transpose(1, 2)
        normalized = super().forward(by_frame[valid][:, :, None])[:, :, 0]
        return normalized.new_zeros(by_frame.shape).index_put((valid,), normalized).transpose(1, 2)


class _Convolution(nn.Module):
    """A convolution over frequency, normalization and an activation."""

    def __init__(self, conv: nn.Module, norm: FrameNorm, activation: nn.Module):
        super().__init__()
        self.conv, self.norm, self.activation = conv, norm, activation

    def forward(self, x: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
        """(B, C, N, F) to (B, C', N, F')."""
        return self.activation(self.norm(self.conv(x), valid))


class TemporalBlock(nn.Module):
    """Half the channels through a depthwise convolution over time and frequency, weighted by attention over time.

    The other half passes; both are interleaved at the end.

    Args:
        dilation: Frames between the three taps over time; the last is the present.
        frozen: Of the normalizations.
    """

    def __init__(self, dilation: int, *, frozen: bool = False):
        super().__init__()
        half = CHANNELS // 2
        self.dilation = dilation
        # Three neighboring frequencies of each channel, mixed.
        widen = nn.Conv2d(half, CHANNELS, (1, 3), padding=(0, 1))
        depthwise = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=(0, 1), dilation=(dilation, 1), groups=CHANNELS)
        self.widen = _Convolution(widen, FrameNorm(CHANNELS, frozen=frozen), nn.PReLU())
        self.depthwise = _Convolution(depthwise, FrameNorm(CHANNELS, frozen=frozen), nn.PReLU())
        self.narrow = _Convolution(nn.Conv2d(CHANNELS, half, 1), FrameNorm(half, frozen=frozen), nn.Identity())
        self.attention = nn.GRU(half, 2 * half, batch_first=True)
        self.gate = nn.Linear(2 * half, half)

    def start(self, like: torch.Tensor) -> BlockState:
        """The state before the first frame of `like` (B, C, N, F)."""
        frames = like.new_zeros(len(like), CHANNELS, 2 * self.dilation, like.shape[3])
        return BlockState(frames, like.new_zeros(1, len(like), CHANNELS))

    def forward(
        self, x: torch.Tensor, valid: torch.Tensor | None, state: BlockState
    ) -> tuple[torch.Tensor, BlockState]:
        """(B, C, N, F) to the same shape, and the state behind the last frame."""
        changed, kept = x.chunk(2, dim=1)
        changed = torch.cat([state.frames, self.widen(changed, valid)], dim=2)
        frames = changed[:, :, changed.shape[2] - 2 * self.dilation :]
        changed = self.narrow(self.depthwise(changed, valid), valid)
        energy, attention = self.attention(changed.square().mean(-1).transpose(1, 2), state.attention)
        weights = self.gate(energy).sigmoid().transpose(1, 2)
        interleaved = torch.stack([changed * weights[..., None], kept], dim=2).flatten(1, 2)
        return interleaved, BlockState(frames, attention)


class DualPath(nn.Module):
    """Recurrence over the frequencies of each frame, then over the frames of each frequency, in two groups each."""

    def __init__(self) -> None:
        super().__init__()
        half = CHANNELS // 2
        self.over_frequency = nn.ModuleList(
            nn.GRU(half, half // 2, batch_first=True, bidirectional=True) for _ in range(2)
        )
        self.over_time = nn.ModuleList(nn.GRU(half, half, batch_first=True) for _ in range(2))
        self.mix_frequency, self.mix_time = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, CHANNELS)
        self.norm_frequency = nn.LayerNorm([WIDTH, CHANNELS], eps=1e-8)
        self.norm_time = nn.LayerNorm([WIDTH, CHANNELS], eps=1e-8)

    def start(self, like: torch.Tensor) -> list[torch.Tensor]:
        """The state before the first frame of `like` (B, C, N, F)."""
        return [like.new_zeros(1, len(like) * WIDTH, CHANNELS // 2) for _ in range(2)]

    def forward(self, x: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(B, C, N, F) to the same shape, and the state behind the last frame."""
        x = x.permute(0, 2, 3, 1)
        batch, n_frames, width, channels = x.shape
        halves = x.reshape(batch * n_frames, width, channels).chunk(2, dim=2)
        mixed = self.mix_frequency(
            torch.cat([run(half)[0] for run, half in zip(self.over_frequency, halves, strict=True)], dim=2)
        )
        x = x + self.norm_frequency(mixed.reshape(x.shape))

        halves = x.transpose(1, 2).reshape(batch * width, n_frames, channels).chunk(2, dim=2)
        runs = [run(half, before) for run, half, before in zip(self.over_time, halves, state, strict=True)]
        mixed = self.mix_time(torch.cat([output for output, _ in runs], dim=2))
        x = x + self.norm_time(mixed.reshape(batch, width, n_frames, channels).transpose(1, 2))
        return x.permute(0, 3, 1, 2), [after for _, after in runs]


class MaskNetwork(nn.Module):
    """From spectra to masks.

    Args:
        frozen: Of the normalizations.
    """

    def __init__(self, *, frozen: bool = False):
        super().__init__()
        filters = band_filters()
        self.bands: torch.Tensor
        self.register_buffer("bands", filters, persistent=False)

        def norm(channels: int) -> FrameNorm:
            return FrameNorm(channels, frozen=frozen)

        # Half the width on the way down, twice on the way up.
        halve = partial(nn.Conv2d, kernel_size=(1, 5), stride=(1, 2), padding=(0, 2))
        double = partial(nn.ConvTranspose2d, kernel_size=(1, 5), stride=(1, 2), padding=(0, 2))
        self.down = nn.ModuleList(
            [
                _Convolution(halve(9, CHANNELS), norm(CHANNELS), nn.PReLU()),
                _Convolution(halve(CHANNELS, CHANNELS, groups=2), norm(CHANNELS), nn.PReLU()),
            ]
        )
        self.encoder = nn.ModuleList(TemporalBlock(dilation, frozen=frozen) for dilation in _DILATIONS)
        self.recurrences = nn.ModuleList(DualPath() for _ in range(2))
        self.decoder = nn.ModuleList(TemporalBlock(dilation, frozen=frozen) for dilation in reversed(_DILATIONS))
        self.up = nn.ModuleList(
            [
                _Convolution(double(CHANNELS, CHANNELS, groups=2), norm(CHANNELS), nn.PReLU()),
                _Convolution(double(CHANNELS, 2), norm(2), nn.Tanh()),
            ]
        )

    def start(self, batch: int) -> State:
        """The state before the first frame."""
        like = self.bands.new_zeros(batch, CHANNELS, 1, WIDTH)
        blocks = [cast("TemporalBlock", block).start(like) for block in (*self.encoder, *self.decoder)]
        return State(blocks, [cast("DualPath", dual).start(like) for dual in self.recurrences])

    def forward(
        self, spectra: torch.Tensor, valid: torch.Tensor | None = None, state: State | None = None
    ) -> tuple[torch.Tensor, State]:
        """Compute masks.

        Args:
            spectra: (B, 2, N, N_BINS), real and imaginary parts.
            valid: (B, N) booleans, which frames belong to an utterance; None for all.
            state: Behind the frames before; None at an utterance's start.

        Returns:
            (B, 2, N, N_BINS) complex factors, and the state behind the last frame.
        """
        blocks, recurrences = self.start(len(spectra)) if state is None else state
        magnitude = (spectra.square().sum(1, keepdim=True) + 1e-12).sqrt()
        x = torch.cat([magnitude, spectra], dim=1)
        x = torch.cat([x[..., :N_LOW], x[..., N_LOW:] @ self.bands.T], dim=-1)
        # Each band with its neighbors.
        padded = functional.pad(x, (1, 1))
        x = torch.stack([padded[..., :-2], x, padded[..., 2:]], dim=2).flatten(1, 2)

        passed, after = [], []
        for layer in self.down:
            x = layer(x, valid)
            passed.append(x)
        for layer, before in zip(self.encoder, blocks[: len(self.encoder)], strict=True):
            x, known = layer(x, valid, before)
            passed.append(x)
            after.append(known)
        remembered = []
        for dual, known in zip(self.recurrences, recurrences, strict=True):
            x, known = dual(x, known)
            remembered.append(known)
        for layer, before in zip(self.decoder, blocks[len(self.encoder) :], strict=True):
            x, known = layer(x + passed.pop(), valid, before)
            after.append(known)
        for layer in self.up:
            x = layer(x + passed.pop(), valid)
        mask = torch.cat([x[..., :N_LOW], x[..., N_LOW:] @ self.bands], dim=-1)
        return mask, State(after, remembered)


class GTCRN(nn.Module):
    """Enhance waveforms of 16 kHz; each utterance of a padded batch as if it were alone.

    Windows of 512 samples, half overlapped, the first around sample 0; the waveform is mirrored at both ends. The
    network looks at no later frame. Batch normalization takes the valid frames of the whole batch in training.

    Args:
        freeze_batch_norm: Keep batch normalization to the statistics that it has, in training, too: for fine-tuning
            of published weights with small batches. Every parameter can move all the same.

    Raises:
        ValueError: For a value that is not accepted.

    Example:
        >>> model = GTCRN().eval()
        >>> model(torch.zeros(2, 1000), torch.tensor([1000, 600])).shape
        torch.Size([2, 1000])
        >>> sum(parameter.numel() for parameter in model.parameters()), 2 * model.network.bands.numel()
        (23669, 24576)

    Source:
        Rong, Sun, Zhang, Hu, Zhu, Lu, "GTCRN: A Speech Enhancement Model Requiring Ultralow Computational Resources",
        ICASSP 2024; sizes where the paper leaves them open, and groups without an explicit shuffle, as in the authors'
        published model.
    """

    def __init__(self, *, freeze_batch_norm: bool = False):
        super().__init__()
        if not isinstance(freeze_batch_norm, bool):
            raise ValueError(f"gtcrn: freeze_batch_norm: {freeze_batch_norm!r} is not accepted; give true or false")
        self.network = MaskNetwork(frozen=freeze_batch_norm)
        self.window: torch.Tensor
        self.register_buffer("window", torch.hann_window(N_FFT).sqrt(), persistent=False)

    @property
    def algorithmic_latency(self) -> int:
        """Samples that must have come behind a sample before it is certain, at worst."""
        return N_FFT - 1

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Frames of utterances of so many samples: every sample is under two windows.

        Example:
            >>> GTCRN().frame_lengths(torch.tensor([1, 256, 257])).tolist()
            [2, 2, 3]
        """
        return -(-lengths // HOP_LENGTH) + 1

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Enhance a batch.

        Args:
            waveform: (B, T).
            lengths: (B,) in samples; None for T each. Whatever stands behind an utterance's end is not looked at.

        Returns:
            (B, T), zero behind each utterance's end.

        Raises:
            ValueError: For another shape, no samples, or lengths outside 1 to T.
        """
        lengths = self._checked(waveform, lengths)
        n_samples = waveform.shape[1]
        n_frames = self.frame_lengths(lengths)
        spectra = self.spectra(self._mirrored(mask_padding(waveform, lengths), lengths))
        valid = None
        if bool((n_frames != n_frames[0]).any()):
            valid = torch.arange(spectra.shape[2], device=waveform.device) < n_frames[:, None]
        mask, _ = self.network(spectra, valid)
        blocks = self.blocks(spectra, mask)
        # Samples under the last half of one window and the first of the next.
        estimate = (blocks[:, :-1, HOP_LENGTH:] + blocks[:, 1:, :HOP_LENGTH]).flatten(1)
        estimate = functional.pad(estimate, (0, max(n_samples - estimate.shape[1], 0)))[:, :n_samples]
        return mask_padding(estimate, lengths)

    def _checked(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        if waveform.dim() != 2 or waveform.shape[1] == 0:
            raise ValueError(f"gtcrn: the waveform has shape {tuple(waveform.shape)}; give (B, T) with T above 0")
        if lengths is None:
            return torch.full((len(waveform),), waveform.shape[1], device=waveform.device)
        if lengths.shape != waveform.shape[:1] or bool(((lengths < 1) | (lengths > waveform.shape[1])).any()):
            raise ValueError(
                f"gtcrn: lengths {lengths.tolist()} do not fit a waveform of shape {tuple(waveform.shape)}"
            )
        return lengths.to(waveform.device)

    def _mirrored(self, waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(B, T) to (B, (N + 1) * HOP_LENGTH): 256 samples mirrored at both ends, zeros behind them."""
        # An utterance that is too short to be mirrored has zeros behind it.
        last = lengths.clamp(min=HOP_LENGTH + 1)[:, None] - 1
        n_frames = int(self.frame_lengths(lengths).max())
        place = torch.arange(-HOP_LENGTH, n_frames * HOP_LENGTH, device=waveform.device)[None]
        source = place.abs()
        source = torch.where(source > last, 2 * last - source, source)
        known = (place <= last + HOP_LENGTH) & (source < lengths[:, None])
        gathered = waveform.gather(1, source.clamp(0, waveform.shape[1] - 1))
        return torch.where(known, gathered, gathered.new_zeros(()))

    def spectra(self, samples: torch.Tensor) -> torch.Tensor:
        """Spectra (B, 2, N, N_BINS) of the windows in (B, (N + 1) * HOP_LENGTH) samples."""
        spectra = torch.fft.rfft(samples.unfold(1, N_FFT, HOP_LENGTH) * self.window)
        return torch.stack([spectra.real, spectra.imag], dim=1)

    def blocks(self, spectra: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Windows (B, N, N_FFT) of the enhanced signal, to be overlapped and added."""
        real, imaginary = spectra.unbind(1)
        mask_real, mask_imaginary = mask.unbind(1)
        enhanced = torch.complex(
            real * mask_real - imaginary * mask_imaginary, imaginary * mask_real + real * mask_imaginary
        )
        return torch.fft.irfft(enhanced, n=N_FFT) * self.window
