"""Depthwise convolutions as sums of shifted signals, for decoding on a CPU without oneDNN."""

from __future__ import annotations

from typing import cast

import torch
from torch.nn.functional import pad

from espnet_plugins.recast import recast

# Taps up to which a sum is faster than torch's convolution, which goes channel by channel.
_TAPS = 8


class ShiftedConv1d(torch.nn.Conv1d):
    """A depthwise convolution, computed tap by tap over all channels at once where nothing is learned from it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve (B, C, T)."""
        if torch.is_grad_enabled() or input.device.type != "cpu" or torch.backends.mkldnn.enabled:
            return super().forward(input)
        step, margin = self.dilation[0], cast("tuple[int]", self.padding)[0]
        padded = pad(input, (margin, margin))
        length = padded.shape[-1] - step * (self.kernel_size[0] - 1)
        taps = self.weight[:, 0].T[..., None]
        total = taps[0] * padded[..., :length]
        for number, tap in enumerate(taps[1:], 1):
            total.addcmul_(tap, padded[..., number * step : number * step + length])
        return total if self.bias is None else total + self.bias[:, None]


def shift_depthwise(model: torch.nn.Module) -> None:
    """Compute a model's depthwise convolutions of few taps as sums; parameters and their names stay.

    Args:
        model: Changed in place.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Conv1d(2, 2, 3, padding=2, dilation=2, groups=2))
        >>> shift_depthwise(model)
        >>> type(model[0]).__name__
        'ShiftedConv1d'
    """
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is torch.nn.Conv1d and _fits(child):
                setattr(parent, name, recast(child, ShiftedConv1d))


def _fits(conv: torch.nn.Conv1d) -> bool:
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    plain = conv.stride == (1,) and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    return depthwise and plain and conv.kernel_size[0] <= _TAPS
