"""Demucs as a graph."""

from __future__ import annotations

import torch
from torch import nn

from espnet_plugins.enh.demucs import Demucs
from espnet_plugins.enh.demucs_stream import DemucsStream
from espnet_plugins.onnx_export.form import Step, count, fill_up


class _Filling(nn.Module):
    """Zeros behind a waveform, up to a length that the convolutions divide, computed by the graph."""

    def __init__(self, model: Demucs):
        super().__init__()
        self.window, self.hop = model.valid_length(1), model.stride**model.depth
        self.resample, self.kernel_size, self.stride, self.depth = (
            model.resample,
            model.kernel_size,
            model.stride,
            model.depth,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, T) to (1, 1, at least T)."""
        n = count(x, 1) * self.resample
        for _ in range(self.depth):
            n = (_divided(n - self.kernel_size + self.stride - 1, self.stride) + 1).clamp(min=1)
        for _ in range(self.depth):
            n = (n - 1) * self.stride + self.kernel_size
        # A waveform of no samples needs the most, and each longer one less than a hop or what is left of a window.
        most = self.window + self.hop
        return fill_up(x, _divided(n + self.resample - 1, self.resample), most)[:, None]


def _divided(n: torch.Tensor, divisor: int) -> torch.Tensor:
    return torch.div(n, divisor, rounding_mode="floor")


class WholeDemucs(nn.Module):
    """Demucs on a whole utterance.

    Args:
        model: Of one channel.
    """

    def __init__(self, model: Demucs):
        super().__init__()
        self.model, self.filling = model, _Filling(model)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """(1, T) to (1, T), for T from 2 on."""
        scale = waveform.std(dim=1, keepdim=True) if self.model.normalize else None
        x = waveform if scale is None else waveform / (self.model.floor + scale)
        (deepest, _), layers = self.model.encode_filled(self.filling(x), None)
        outputs, _ = self.model.lstm(deepest.permute(2, 0, 1), None)
        decoded, _ = self.model.decode((outputs.permute(1, 2, 0), None), layers)
        estimate = decoded[:, 0, : count(waveform, 1)]
        return estimate if scale is None else scale * estimate


class DemucsStep(Step):
    """One step of :class:`~espnet_plugins.enh.demucs_stream.DemucsStream`, its state in tensors.

    Args:
        model: A causal Demucs of one channel.

    Raises:
        ValueError: For a model that is not causal, or has no whole hop.
    """

    ending = "last"

    def __init__(self, model: Demucs):
        super().__init__()
        self.context = DemucsStream(model).context
        self.model, self.filling = model, _Filling(model)
        self.hop_length, self.margin, self.level = model.hop_length, model.margin, model.normalize
        # One sample at least stays for the last step, so that it has a frame to compute.
        self.waiting = max(model.margin, 1)
        self.window = model.valid_length(1)
        self.first_block = self.window + self.waiting

    def states(self) -> dict[str, torch.Tensor]:
        """Samples and outputs of the LSTM that later estimates need, and the LSTM's state."""
        hidden = self.model.lstm.lstm.hidden_size
        start = {"samples": torch.zeros(1, 0), "outputs": torch.zeros(0, 1, hidden)}
        return start | {name: torch.zeros(2, 1, hidden) for name in ("hidden", "cell")}

    def growing(self) -> dict[str, int]:
        """States that grow in the first steps."""
        return {"samples": 1, "outputs": 0}

    def forward(self, block: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute the frames that a block completes.

        Args:
            block: (1, n).
            others: The level (1,) where the model normalizes, `last` (1,), and the states.

        Returns:
            (1, m) samples that have become certain, or all where `last` is 1; the states.
        """
        level, others = (others[0], others[1:]) if self.level else (None, others)
        last, samples, outputs, hidden, cell = others
        known = torch.cat([samples, block], dim=1)
        n_known = count(known, 1)
        x = known if level is None else known / (self.model.floor + level)
        (deepest, _), layers = self.model.encode_filled(self.filling(x), None)
        before = count(outputs, 0)
        ready = _divided(n_known - self.window - self.waiting, self.hop_length) + 1
        total = torch.where(last[0] == 1, count(deepest, 2), ready)
        new, (hidden, cell) = self.model.lstm(deepest.permute(2, 0, 1)[before:total], None, (hidden, cell))
        outputs = torch.cat([outputs, new])
        decoded, _ = self.model.decode((outputs.permute(1, 2, 0), None), layers)
        begin = (before * self.hop_length - self.margin).clamp(min=0)
        certain = (total * self.hop_length - self.margin).clamp(min=0)
        end = torch.where(last[0] == 1, n_known, certain)
        estimate = decoded[:, 0, begin:end]
        kept = outputs[-self.context :]
        samples = known[:, (total - count(kept, 0)) * self.hop_length :]
        return (estimate if level is None else level * estimate), samples, kept, hidden, cell
