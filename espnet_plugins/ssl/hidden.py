"""Hidden states of a batch, the same for an utterance alone and in a padded batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pad_sequence

from espnet_plugins.ssl.backbone import Backbone

# A further part costs a CPU about as much time as so many frames of padding: small products of matrices are slower for
# each frame, and dispatch weighs more the fewer features there are. Measured by benchmarks/batch_parts.py.
_PART, _PART_OF_FEATURES = 30, 10_000


@dataclass
class _Part:
    """Utterances that go through the blocks together.

    Args:
        rows: of the batch.
        padding: (rows, N), True behind an utterance's end; None where all are of one length.
        last: the deepest hidden state computed.
        carry: what the blocks hand on.
    """

    rows: Sequence[int]
    padding: torch.Tensor | None
    last: torch.Tensor
    carry: Any = None


class HiddenStates:
    """Hidden states of one batch, computed block by block as far as they are asked for.

    Each utterance goes through the waveform normalization and the convolutions alone (utterances of equal
    length together), because the GroupNorm of HuBERT Base averages over time and would otherwise see the
    padding. The blocks take the whole batch padded; on a CPU they take it in parts, see :func:`in_parts`. Everything
    runs in float32, whatever autocast says.

    Args:
        backbone: the frozen model.
        waveform: (B, T).
        samples: length of each utterance.
        keep_all: keep every hidden state computed, not only those asked for.

    Raises:
        ValueError: for an utterance too short for one frame, or longer than the model takes.
    """

    def __init__(self, backbone: Backbone, waveform: torch.Tensor, samples: Sequence[int], *, keep_all: bool) -> None:
        spec = backbone.spec
        for row, length in enumerate(samples):
            if length < spec.receptive_field:
                raise ValueError(
                    f"utterance {row} of the batch has {length} samples, but {spec.name} needs at least "
                    f"{spec.receptive_field}; drop it or pad it"
                )
            if spec.longest is not None and length > spec.longest:
                raise ValueError(
                    f"utterance {row} of the batch has {length} samples, but {spec.name} takes at most {spec.longest} "
                    f"({spec.longest / spec.sample_rate:g} s); cut it"
                )
        self._model = backbone.model(waveform.device)
        self._whole_context = spec.whole_context
        self._keep_all = keep_all
        self._frames = [spec.frames_of(length) for length in samples]
        self.frame_lengths = torch.tensor(self._frames, device=waveform.device)
        together = waveform.device.type != "cpu" or spec.whole_context or spec.all_at_once
        rows_of_parts = [range(len(samples))] if together else in_parts(self._frames, spec.feature_dim)
        with torch.autocast(waveform.device.type, enabled=False):
            features = self._extract(waveform, samples, spec.normalize_waveform)
            known = []
            self._parts = []
            for rows in rows_of_parts:
                batch = pad_sequence([features[row] for row in rows], batch_first=True)
                padding = self._padding(rows)
                states = batch.unbind(2) if spec.all_at_once else (self._model.embed(batch, self._mask(padding)),)
                known.append(states)
                self._parts.append(_Part(rows, padding, states[-1]))
        # Hidden state -> what it is of each part.
        self._states = dict(enumerate(zip(*known, strict=True)))
        self._depth = len(self._states) - 1

    def offers(self, indices: Sequence[int]) -> bool:
        """Whether ``indices`` can be had without starting again."""
        return all(index > self._depth or index in self._states for index in indices)

    def get(self, indices: Sequence[int]) -> list[torch.Tensor]:
        """Give the hidden states of ``indices``, each (B, N, D), zero behind each utterance's end."""
        wanted = set(indices)
        with torch.autocast(self._parts[0].last.device.type, enabled=False):
            while self._depth < max(wanted):
                if not self._keep_all and self._depth not in wanted:
                    self._states.pop(self._depth, None)
                for part in self._parts:
                    mask = self._mask(part.padding)
                    part.last, part.carry = self._model.block(self._depth, part.last, mask, part.carry)
                self._depth += 1
                self._states[self._depth] = tuple(part.last for part in self._parts)
        return [self._whole(self._states[index]) for index in indices]

    def _whole(self, states: Sequence[torch.Tensor]) -> torch.Tensor:
        if len(states) == 1:
            state, frames = states[0], max(self._frames)
            if state.shape[1] > frames:  # of a whole context
                state = state[:, :frames]
            padding = self._parts[0].padding
            return state if padding is None else state.masked_fill(padding.unsqueeze(-1), 0.0)
        found: dict[int, torch.Tensor] = {}
        for part, state in zip(self._parts, states, strict=True):
            found.update(zip(part.rows, state.unbind(0), strict=True))
        return pad_sequence([found[row][:frames] for row, frames in enumerate(self._frames)], batch_first=True)

    def _mask(self, padding: torch.Tensor | None) -> torch.Tensor | None:
        return None if self._whole_context else padding

    def _padding(self, rows: Sequence[int]) -> torch.Tensor | None:
        frames = [self._frames[row] for row in rows]
        if min(frames) == max(frames):
            return None
        index = torch.arange(max(frames), device=self.frame_lengths.device)
        return index >= torch.tensor(frames, device=index.device).unsqueeze(1)

    def _extract(self, waveform: torch.Tensor, samples: Sequence[int], normalize: bool) -> dict[int, torch.Tensor]:
        waveform = waveform.to(next((weight.dtype for weight in self._model.parameters()), torch.float32))
        rows_of: dict[int, list[int]] = defaultdict(list)
        for row, length in enumerate(samples):
            rows_of[length].append(row)
        features: dict[int, torch.Tensor] = {}
        for length, rows in rows_of.items():
            group = torch.stack([waveform[row, :length] for row in rows])
            if normalize:
                group = layer_norm(group, (length,))
            features.update(zip(rows, self._model.extract(group), strict=True))
        return features


def in_parts(frames: Sequence[int], width: int) -> list[list[int]]:
    """Divide a batch so that padding and the parts themselves cost a CPU the least.

    Args:
        frames: of each utterance.
        width: features per frame, D.

    Returns:
        The rows of each part, in their order.

    Example:
        >>> in_parts([300, 199, 290], 768)
        [[0, 2], [1]]
        >>> in_parts([300, 199, 290], 64)
        [[0, 1, 2]]
    """
    price = _PART + _PART_OF_FEATURES / width
    order = sorted(range(len(frames)), key=lambda row: -frames[row])
    sums = [0, *accumulate(frames[row] for row in order)]
    # Of the first utterances in that order: the least cost, and where the last part begins.
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(order) + 1):
        options = (
            (best[start][0] + price + frames[order[start]] * (end - start) - (sums[end] - sums[start]), start)
            for start in range(end)
        )
        best.append(min(options))
    parts: list[list[int]] = []
    end = len(order)
    while end:
        start = best[end][1]
        parts.insert(0, sorted(order[start:end]))
        end = start
    return parts
