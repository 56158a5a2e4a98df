"""Demucs for speech enhancement: a U-Net on the waveform with a recurrent bottleneck."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from espnet_plugins.enh.lengths import deviation, mask_padding
from espnet_plugins.enh.sinc import ZEROS, double_rate, half_sample_kernel, halve_rate, resampling_steps

# A signal of the network: (B, C, N), and how many of its N frames each utterance has (None: all).
Signal = tuple[torch.Tensor, "torch.Tensor | None"]


def _silence_padding(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Zero the padding of (B, C, N)."""
    return x if lengths is None else mask_padding(x.transpose(1, 2), lengths).transpose(1, 2)


class Bottleneck(nn.Module):
    """Two LSTM layers over time; in both directions, a linear map brings them back to the input's size.

    Args:
        feature_dim: Channels in and out.
        bidirectional: False looks at the past alone.
    """

    def __init__(self, feature_dim: int, *, bidirectional: bool):
        super().__init__()
        self.lstm = nn.LSTM(feature_dim, feature_dim, num_layers=2, bidirectional=bidirectional)
        self.linear = nn.Linear(2 * feature_dim, feature_dim) if bidirectional else None

    def forward(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor | None,
        state: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Run over (N, B, C); the padding is seen by nobody.

        Args:
            x: (N, B, C).
            lengths: (B,) frames of each utterance; None for N.
            state: Of the LSTM before the first frame; None for zeros.

        Returns:
            (N, B, C), and the LSTM's state behind the last frame.
        """
        if self.linear is None or lengths is None:
            # What comes later does not reach an LSTM that looks back.
            x, state = self.lstm(x, state)
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
            packed, state = self.lstm(packed, state)
            x, _ = pad_packed_sequence(packed, total_length=len(x))
        return (x if self.linear is None else self.linear(x)), state


class Demucs(nn.Module):
    """Enhance waveforms of 16 kHz; each utterance of a padded batch as if it were alone.

    Parameters have the names of the published state dicts: `encoder.0.0.weight`, `lstm.lstm.weight_ih_l0`, ... A
    waveform is divided by its standard deviation (the mean stays), filled up to a length that the convolutions
    divide, and interpolated to `resample` times its rate.

    Args:
        chin: Channels in.
        chout: Channels out.
        hidden: Channels of the first layer (dns48: 48; dns64 and master64: 64).
        depth: Layers of the encoder, and of the decoder.
        kernel_size: Of the strided convolutions.
        stride: Of the strided convolutions.
        causal: The LSTM runs forward only.
        resample: 1, 2 or 4 times the rate inside.
        growth: Factor of the channels from layer to layer.
        max_hidden: Bound of the channels.
        normalize: Divide each utterance by its standard deviation, multiply the output by it.
        glu: Gated linear units behind the 1x1 convolutions; False for ReLU.
        rescale: Standard deviation that the initial weights are brought near; 0 leaves them.
        floor: Added to the standard deviation before the division.
        sample_rate: In Hz; noted, not used.

    Raises:
        ValueError: For sizes that are no positive whole numbers, or another `resample`.

    Example:
        >>> model = Demucs(hidden=4)
        >>> model(torch.zeros(2, 1000), torch.tensor([1000, 600])).shape
        torch.Size([2, 1000])

    Source:
        Defossez, Synnaeve, Adi, "Real Time Speech Enhancement in the Waveform Domain", Interspeech 2020, section 2.
    """

    def __init__(
        self,
        *,
        chin: int = 1,
        chout: int = 1,
        hidden: int = 48,
        depth: int = 5,
        kernel_size: int = 8,
        stride: int = 4,
        causal: bool = True,
        resample: int = 4,
        growth: float = 2,
        max_hidden: int = 10_000,
        normalize: bool = True,
        glu: bool = True,
        rescale: float = 0.1,
        floor: float = 1e-3,
        sample_rate: int = 16_000,
    ):
        super().__init__()
        sizes = {"chin": chin, "chout": chout, "hidden": hidden, "depth": depth, "kernel_size": kernel_size}
        for name, value in {**sizes, "stride": stride, "max_hidden": max_hidden}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"demucs: {name}: {value!r} is not accepted; give a whole number from 1")
        self.chin, self.chout, self.depth = chin, chout, depth
        self.kernel_size, self.stride = kernel_size, stride
        self.causal, self.resample = causal, resample
        self.normalize, self.floor, self.sample_rate = normalize, floor, sample_rate
        self._doublings = resampling_steps(resample)
        self._kernel: torch.Tensor
        self.register_buffer("_kernel", half_sample_kernel(), persistent=False)

        encoder: list[nn.Sequential] = []
        decoder: list[nn.Sequential] = []
        gates = 2 if glu else 1
        for layer in range(depth):
            down = nn.Conv1d(chin, hidden, kernel_size, stride)
            widen = nn.Conv1d(hidden, gates * hidden, 1)
            encoder.append(nn.Sequential(down, nn.ReLU(), widen, _gate(glu)))
            up = nn.ConvTranspose1d(hidden, chout, kernel_size, stride)
            widen = nn.Conv1d(hidden, gates * hidden, 1)
            last = [] if layer == 0 else [nn.ReLU()]
            decoder.insert(0, nn.Sequential(widen, _gate(glu), up, *last))
            chin = chout = hidden
            hidden = min(int(growth * hidden), max_hidden)
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.lstm = Bottleneck(chin, bidirectional=not causal)
        if rescale:
            self._rescale(rescale)

    def _rescale(self, reference: float) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
                scale = (module.weight.detach().std() / reference).sqrt()
                for parameter in module.parameters():
                    parameter.data /= scale

    @property
    def hop_length(self) -> int:
        """Samples, at the waveform's rate, from one frame of the bottleneck to the next (at least 1)."""
        return max(self.stride**self.depth // self.resample, 1)

    @property
    def margin(self) -> int:
        """Samples that the interpolation looks ahead, and as many back; the rate doubles from step to step."""
        return sum(ZEROS // 2**step for step in range(self._doublings))

    @property
    def algorithmic_latency(self) -> float:
        """Samples that must have come behind a sample before it is certain, at worst; inf where it is not causal."""
        return self.valid_length(1) + 2 * self.margin if self.causal else math.inf

    def frames(self, n_samples: int) -> int:
        """How many frames the bottleneck has for a waveform.

        Example:
            >>> Demucs(hidden=4).frames(16000)
            62
        """
        n = n_samples * self.resample
        for _ in range(self.depth):
            n = max(-((self.kernel_size - n) // self.stride) + 1, 1)
        return n

    def valid_length(self, n_samples: int) -> int:
        """To how many samples a waveform is filled up, so that no convolution leaves any over.

        Example:
            >>> [Demucs(hidden=4).valid_length(n) for n in (1, 400, 16000)]
            [597, 597, 16213]
        """
        n = self.frames(n_samples)
        for _ in range(self.depth):
            n = (n - 1) * self.stride + self.kernel_size
        return -(-n // self.resample)

    def forward(self, waveform: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Enhance a batch.

        Args:
            waveform: (B, T), or (B, chin, T).
            lengths: (B,) in samples; None for T each. Whatever stands behind an utterance's end is not looked at.

        Returns:
            (B, T) where a (B, T) was given and `chout` is 1, else (B, chout, T); zero behind each utterance's end.

        Raises:
            ValueError: For another shape, no samples, or lengths outside 1 to T.
        """
        x, lengths = self._checked(waveform, lengths)
        n_samples = x.shape[-1]
        x = _silence_padding(x, lengths)
        scale = None
        if self.normalize:
            everything = torch.full((len(x),), n_samples) if lengths is None else lengths
            scale = deviation(x.mean(dim=1), everything)[:, :, None]
            x = x / (self.floor + scale)
        (deepest, frames), layers = self.encode(x, lengths)
        steps, _ = self.lstm(deepest.permute(2, 0, 1), frames)
        estimate = self.decode((steps.permute(1, 2, 0), frames), layers)[0][..., :n_samples]
        if scale is not None:
            estimate = scale * estimate
        estimate = _silence_padding(estimate, lengths)
        return estimate[:, 0] if waveform.dim() == 2 and self.chout == 1 else estimate

    def _checked(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        x = waveform[:, None] if waveform.dim() == 2 else waveform
        if x.dim() != 3 or x.shape[1] != self.chin or x.shape[2] == 0:
            accepted = f"(B, {self.chin}, T)" if self.chin > 1 else "(B, T)"
            raise ValueError(f"demucs: the waveform has shape {tuple(waveform.shape)}; give {accepted} with T above 0")
        if lengths is None:
            return x, None
        lengths = lengths.cpu()
        if lengths.shape != x.shape[:1] or bool(((lengths < 1) | (lengths > x.shape[2])).any()):
            raise ValueError(f"demucs: lengths {lengths.tolist()} do not fit a waveform of shape {tuple(x.shape)}")
        return x, None if bool((lengths == x.shape[2]).all()) else lengths

    def encode(self, x: torch.Tensor, lengths: torch.Tensor | None) -> tuple[Signal, list[Signal]]:
        """Interpolate and go down the U.

        Args:
            x: (B, chin, T), normalized, zero behind the ends.
            lengths: (B,) in samples, or None.

        Returns:
            The bottleneck's input, (B, C, N) and the frames of each utterance, and the same of every layer.
        """
        x = nn.functional.pad(x, (0, self.valid_length(x.shape[-1]) - x.shape[-1]))
        if lengths is not None:
            lengths = torch.tensor([self.valid_length(n) for n in lengths.tolist()])
        return self.encode_filled(x, lengths)

    def encode_filled(self, x: torch.Tensor, lengths: torch.Tensor | None) -> tuple[Signal, list[Signal]]:
        """As encode(), of waveforms that are filled up to a valid length.

        Args:
            x: (B, chin, T), T a valid length.
            lengths: (B,) valid lengths, or None.

        Returns:
            As encode().
        """
        for _ in range(self._doublings):
            x = double_rate(x, self._kernel)
            lengths = None if lengths is None else 2 * lengths
            x = _silence_padding(x, lengths)
        layers = []
        for layer in self.encoder:
            x = layer(x)
            lengths = None if lengths is None else (lengths - self.kernel_size) // self.stride + 1
            layers.append((x, lengths))
        return layers[-1], layers

    def decode(self, signal: Signal, layers: list[Signal]) -> Signal:
        """Go up the U and back to the waveform's rate.

        Args:
            signal: The bottleneck's output.
            layers: What encode() gave.

        Returns:
            (B, chout, at least T), and the samples of each utterance.
        """
        x, lengths = signal
        for layer, (skip, _) in zip(self.decoder, reversed(layers), strict=True):
            assert isinstance(layer, nn.Sequential)
            # All but the first two modules are the transposed convolution and its activation.
            x = layer[:2](x + skip[..., : x.shape[-1]])
            # A transposed convolution would carry what lies behind an end over to the samples before it.
            x = layer[2:](_silence_padding(x, lengths))
            lengths = None if lengths is None else (lengths - 1) * self.stride + self.kernel_size
        for _ in range(self._doublings):
            x = halve_rate(_silence_padding(x, lengths), self._kernel)
            lengths = None if lengths is None else (lengths + 1) // 2
        return x, lengths


def _gate(glu: bool) -> nn.Module:
    return nn.GLU(dim=1) if glu else nn.ReLU()
