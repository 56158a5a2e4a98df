"""Hidden states of a batch, the same for an utterance alone and in a padded batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pad_sequence

from espnet_plugins.ssl.backbone import Backbone


class HiddenStates:
    """Hidden states of one batch, computed block by block as far as they are asked for.

    Each utterance goes through the waveform normalization and the convolutions alone (utterances of equal
    length together), because the GroupNorm of HuBERT Base averages over time and would otherwise see the
    padding. Everything runs in float32, whatever autocast says.

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
        self._keep_all = keep_all
        self._carry: Any = None
        self._padding: torch.Tensor | None = None
        frames = [spec.frames_of(length) for length in samples]
        self.frame_lengths = torch.tensor(frames, device=waveform.device)
        self._frames = max(frames)
        if min(frames) < self._frames:
            index = torch.arange(self._frames, device=waveform.device)
            self._padding = index >= self.frame_lengths.unsqueeze(1)
        self._mask = None if spec.whole_context else self._padding
        with torch.autocast(waveform.device.type, enabled=False):
            features = self._extract(waveform, samples, spec.normalize_waveform)
            known = features.unbind(2) if spec.all_at_once else (self._model.embed(features, self._mask),)
        self._states = dict(enumerate(known))
        self._last, self._depth = known[-1], len(known) - 1

    def offers(self, indices: Sequence[int]) -> bool:
        """Whether ``indices`` can be had without starting again."""
        return all(index > self._depth or index in self._states for index in indices)

    def get(self, indices: Sequence[int]) -> list[torch.Tensor]:
        """Give the hidden states of ``indices``, each (B, N, D), zero behind each utterance's end."""
        wanted = set(indices)
        with torch.autocast(self._last.device.type, enabled=False):
            while self._depth < max(wanted):
                if not self._keep_all and self._depth not in wanted:
                    self._states.pop(self._depth, None)
                self._last, self._carry = self._model.block(self._depth, self._last, self._mask, self._carry)
                self._depth += 1
                self._states[self._depth] = self._last
        states = [self._states[index] for index in indices]
        if states[0].shape[1] > self._frames:  # of a whole context
            states = [state[:, : self._frames] for state in states]
        if self._padding is None:
            return states
        return [state.masked_fill(self._padding.unsqueeze(-1), 0.0) for state in states]

    def _extract(self, waveform: torch.Tensor, samples: Sequence[int], normalize: bool) -> torch.Tensor:
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
        return pad_sequence([features[row] for row in range(len(samples))], batch_first=True)
