"""Hidden states of a frozen SSL model, the same for an utterance alone and in a padded batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from torch.nn.functional import layer_norm
from torch.nn.utils.rnn import pad_sequence

from espnet_plugins.ssl.spec import UpstreamSpec


class Backbone:
    """A frozen torchaudio model that is built when it is first needed.

    It is no ``nn.Module`` on purpose: whoever holds it, no parameter of it can reach a state dict, an
    optimiser, DDP or an initialiser, and nothing can put it into training mode.

    Args:
        spec: what to build.
    """

    def __init__(self, spec: UpstreamSpec) -> None:
        self.spec = spec
        self._model: Any = None
        self._lock = Lock()

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._model is not None

    def model(self, device: torch.device | str = "cpu") -> Any:
        """Give the model, in evaluation mode and without parameter gradients, on ``device``."""
        with self._lock:
            if self._model is None:
                # Building draws random numbers: the caller's sequence must not depend on it, and random
                # weights must be the same in every process.
                with torch.random.fork_rng(devices=[]), torch.device("cpu"):
                    torch.default_generator.manual_seed(0)
                    self._model = self.spec.build().eval().requires_grad_(False)
            if next(self._model.parameters()).device != torch.device(device):
                self._model = self._model.to(device)
            return self._model


class HiddenStates:
    """Hidden states of one batch, computed block by block as far as they are asked for.

    Each utterance goes through the waveform normalisation and the convolutions alone (utterances of equal
    length together), because the GroupNorm of HuBERT Base averages over time and would otherwise see the
    padding. Padded frames are set to zero before the positional convolution and masked in attention.

    Args:
        backbone: the frozen model.
        waveform: (B, T).
        samples: length of each utterance.
        keep_all: keep every hidden state computed, not only those asked for.

    Raises:
        ValueError: for an utterance too short for one frame.
    """

    def __init__(self, backbone: Backbone, waveform: torch.Tensor, samples: Sequence[int], *, keep_all: bool) -> None:
        spec = backbone.spec
        for row, length in enumerate(samples):
            if length < spec.receptive_field:
                raise ValueError(
                    f"utterance {row} of the batch has {length} samples; {spec.name} needs at least "
                    f"{spec.receptive_field}. Drop it (min_length) or pad it"
                )
        self._model = backbone.model(waveform.device)
        self._final_norm = not self._model.encoder.transformer.layer_norm_first
        self._n_layers = spec.n_layers
        self._keep_all = keep_all
        self._position_bias: torch.Tensor | None = None
        self._depth = 0
        self.frame_lengths = torch.tensor([spec.frames_of(n) for n in samples], device=waveform.device)
        with torch.autocast(waveform.device.type, enabled=False):
            features = self._convolve(waveform, samples, spec.normalize_waveform)
            self._padding = _padding_mask(features, self.frame_lengths, samples)
            hidden = self._model.encoder.feature_projection(features)
            if self._padding is not None:
                hidden = hidden.masked_fill(self._padding.unsqueeze(-1), 0.0)
            self._last = self._model.encoder.transformer._preprocess(hidden)
        self._states = {0: self._last}

    def offers(self, indices: Sequence[int]) -> bool:
        """Whether ``indices`` can be had without starting again."""
        return all(index > self._depth or index in self._states for index in indices)

    def get(self, indices: Sequence[int]) -> list[torch.Tensor]:
        """Give the hidden states of ``indices``, each (B, N, D), zero behind each utterance's end."""
        wanted = set(indices)
        while self._depth < max(wanted):
            if not self._keep_all and self._depth not in wanted:
                self._states.pop(self._depth, None)
            self._advance()
        states = [self._states[index] for index in indices]
        if self._padding is None:
            return states
        return [state.masked_fill(self._padding.unsqueeze(-1), 0.0) for state in states]

    def _advance(self) -> None:
        layer = self._model.encoder.transformer.layers[self._depth]
        mask: dict[str, torch.Tensor] = {}
        if self._padding is not None:
            if hasattr(layer.attention, "rel_attn_embed"):  # WavLM
                bias = torch.zeros(self._padding.shape, dtype=self._last.dtype, device=self._last.device)
                mask["key_padding_mask"] = bias.masked_fill(self._padding, float("-inf"))
            else:
                batch, frames = self._padding.shape
                mask["attention_mask"] = ~self._padding[:, None, None, :].expand(batch, 1, frames, frames)
        with torch.autocast(self._last.device.type, enabled=False):
            self._last, self._position_bias = layer(self._last, position_bias=self._position_bias, **mask)
            self._depth += 1
            at_end = self._final_norm and self._depth == self._n_layers
            norm = self._model.encoder.transformer.layer_norm
            self._states[self._depth] = norm(self._last) if at_end else self._last

    def _convolve(self, waveform: torch.Tensor, samples: Sequence[int], normalize: bool) -> torch.Tensor:
        waveform = waveform.to(next(self._model.parameters()).dtype)
        rows_of: dict[int, list[int]] = defaultdict(list)
        for row, length in enumerate(samples):
            rows_of[length].append(row)
        features: dict[int, torch.Tensor] = {}
        for length, rows in rows_of.items():
            group = torch.stack([waveform[row, :length] for row in rows])
            if normalize:
                group = layer_norm(group, (length,))
            extracted, _ = self._model.feature_extractor(group, None)
            features.update(zip(rows, extracted.unbind(), strict=True))
        return pad_sequence([features[row] for row in range(len(samples))], batch_first=True)


def _padding_mask(features: torch.Tensor, frame_lengths: torch.Tensor, samples: Sequence[int]) -> torch.Tensor | None:
    """True where a frame lies behind its utterance's end; None where there is no such frame."""
    if len(set(samples)) == 1:
        return None
    return torch.arange(features.shape[1], device=features.device) >= frame_lengths.unsqueeze(1)
