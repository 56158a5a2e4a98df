"""ESPnet's Conv-TasNet as a graph."""

from __future__ import annotations

import copy

import torch
from espnet2.enh.decoder.conv_decoder import ConvDecoder
from espnet2.enh.encoder.conv_encoder import ConvEncoder
from espnet2.enh.layers import tcn
from espnet2.enh.separator.tcn_separator import TCNSeparator
from torch import nn
from torch.nn import functional

from espnet_plugins.onnx_export.form import Step, count, fill_up


def _masked(
    encoder: ConvEncoder, separator: TCNSeparator, decoder: ConvDecoder, waveform: torch.Tensor
) -> torch.Tensor:
    """Whole frames of (1, T) through the network: (S, (N - 1) * stride + kernel_size)."""
    features, _ = encoder(waveform, torch.zeros(1, dtype=torch.long))
    estimates, _, _ = separator(features, None)
    # ESPnet's decoder is told the number of samples, which a graph would keep as a constant.
    return torch.cat([decoder.convtrans1d(estimate.transpose(1, 2))[:, 0] for estimate in estimates])


class WholeConvTasNet(nn.Module):
    """Conv-TasNet on a whole utterance.

    Args:
        encoder: ESPnet's.
        separator: ESPnet's.
        decoder: ESPnet's.
    """

    def __init__(self, encoder: ConvEncoder, separator: TCNSeparator, decoder: ConvDecoder):
        super().__init__()
        self.encoder, self.separator, self.decoder = encoder, separator, decoder

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """(1, T) to (S, T), for T from the encoder's kernel on."""
        estimates = _masked(self.encoder, self.separator, self.decoder, waveform)
        return fill_up(estimates, count(waveform, 1), self.encoder.stride)


class _Continued(nn.Module):
    """A causal depthwise convolution, padded with the frames before instead of zeros.

    Args:
        conv: The convolution, with zeros at both ends.
    """

    def __init__(self, conv: nn.Conv1d):
        super().__init__()
        self.conv, self.n_before = conv, int(conv.padding[0])
        # What it is told and tells, in a list, so that no part of a graph is an attribute.
        self.frames: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, C, N) to (1, C, N)."""
        known = torch.cat([self.frames.pop(), x], dim=2)
        self.frames.append(known[:, :, -self.n_before :])
        conv = self.conv
        return functional.conv1d(known, conv.weight, conv.bias, dilation=conv.dilation, groups=conv.groups)


class ConvTasNetStep(Step):
    """One step of a causal Conv-TasNet.

    Args:
        encoder: ESPnet's.
        separator: ESPnet's, causal, with norms that look at no other frame.
        decoder: ESPnet's.

    Raises:
        ValueError: For a network that looks at later frames.
    """

    ending = "tail"

    def __init__(self, encoder: ConvEncoder, separator: TCNSeparator, decoder: ConvDecoder):
        super().__init__()
        self.hop_length, self.first_block = encoder.stride, encoder.kernel_size
        if encoder.kernel_size <= encoder.stride:
            raise ValueError(
                f"encoder_conf: kernel_size: {encoder.kernel_size} is not above stride ({encoder.stride}): its frames "
                "do not overlap, and no stream is made of them"
            )
        self.encoder, self.decoder = encoder, decoder
        self.separator = copy.deepcopy(separator)
        self.convolutions: list[_Continued] = []
        for module in list(self.separator.modules()):
            if isinstance(module, (tcn.GlobalLayerNorm, nn.GroupNorm)):
                raise ValueError(
                    "separator_conf: norm_type: gLN and GN look at the whole utterance; a stream needs causal: true "
                    "and cLN or BN"
                )
            if isinstance(module, tcn.DepthwiseSeparableConv):
                self._continue(module)

    def _continue(self, block: tcn.DepthwiseSeparableConv) -> None:
        if not isinstance(block.net[1], tcn.Chomp1d):
            raise ValueError("separator_conf: causal: false looks at later frames; a stream needs causal: true")
        conv = block.net[0]
        assert isinstance(conv, nn.Conv1d)
        if conv.padding[0] == 0:
            raise ValueError("separator_conf: kernel: 1 is not accepted; ESPnet's causal blocks need 2 at least")
        block.net[0], block.net[1] = _Continued(conv), nn.Identity()
        self.convolutions.append(block.net[0])

    def states(self) -> dict[str, torch.Tensor]:
        """What is left of the samples, of the enhanced signal, and the frames that each convolution looks back at."""
        overlap = self.first_block - self.hop_length
        start = {"samples": torch.zeros(1, 0), "tail": torch.zeros(self.separator.num_spk, overlap)}
        for k, one in enumerate(self.convolutions):
            start[f"frames{k}"] = torch.zeros(1, one.conv.in_channels, one.n_before)
        return start

    def growing(self) -> dict[str, int]:
        """States that grow in the first steps."""
        return {"samples": 1}

    def forward(
        self, block: torch.Tensor, samples: torch.Tensor, tail: torch.Tensor, *frames: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Compute the frames that a block completes.

        Args:
            block: (1, n).
            samples: That the last frame and the next one share.
            tail: Enhanced samples that the next frame adds to.
            frames: Of each convolution over time.

        Returns:
            (S, n) samples, of the first block `kernel_size - stride` fewer; the states.
        """
        known = torch.cat([samples, block], dim=1)
        for one, before in zip(self.convolutions, frames, strict=True):
            one.frames = [before]
        estimates = _masked(self.encoder, self.separator, self.decoder, known)
        overlap = self.first_block - self.hop_length
        enhanced = torch.cat([estimates[:, :overlap] + tail, estimates[:, overlap:]], dim=1)
        after = [one.frames.pop() for one in self.convolutions]
        return enhanced[:, :-overlap], known[:, -overlap:], enhanced[:, -overlap:], *after
