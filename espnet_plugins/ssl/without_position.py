"""Frames without what those of all utterances have in common at an index."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Hashable, Sequence
from weakref import WeakKeyDictionary

import torch

from espnet_plugins.ssl.backbone import Backbone
from espnet_plugins.ssl.spec import resolve_layers
from espnet_plugins.ssl.upstream import Layers, Upstream

# Frames of the lengths at which the common part is estimated; the last one holds for any longer utterance.
LENGTHS = (100, 200, 400, 800, 1500)
FEWEST = 4
_ITERATIONS = 50
_CHUNK = 25
# Numbers held at once.
_MEMORY = 2**28
# Mean square that is left of the common part of L2-normalized frames.
_ENOUGH = 1e-6

_KEPT: WeakKeyDictionary[Backbone, dict[Hashable, torch.Tensor]] = WeakKeyDictionary()


class UpstreamWithoutPosition(Upstream):
    """An upstream whose frames lack what the frames of all utterances have in common at their index.

    The common part is estimated once per layer and length, and kept with the weights: utterances are closed to rings
    and opened at random places, so that every content is as likely at every index, and what still differs from index to
    index is their doing. An utterance is given the estimate of the least of 100, 200, 400, 800 and 1500 frames that it
    fits into; a longer one repeats the last value (Whisper has no longer ones). Where the model adds a known code to
    its hidden state 0 (Whisper), that code is taken off instead.

    Args:
        upstream: the upstream.
        speech: gives the utterances (T,) to estimate with; called when they are first needed.
        key: what tells this speech from another.
        unit_length: frames are L2-normalized afterwards: choose the common part so that it is gone then.
            Else the mean at each index, less the mean of all.
        turns: places at which each utterance is opened.
        seed: of the places.

    Example:
        >>> from espnet_plugins.ssl import build_upstream
        >>> whisper = build_upstream("whisper_tiny", pretrained=False, layers=0)
        >>> without = UpstreamWithoutPosition(whisper, speech=list, key="none", unit_length=True)
        >>> silence = torch.zeros(1, 6400)
        >>> bool(without(silence)[0][0, 1:-1].var(0).max() < 1e-6 < whisper(silence)[0][0].var(0).max())
        True
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        speech: Callable[[], Sequence[torch.Tensor]],
        key: Hashable,
        unit_length: bool,
        turns: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(upstream.backbone, upstream.layers)
        self._speech = speech
        self._key = (key, unit_length, turns, seed)
        self._unit_length, self._turns, self._seed = unit_length, turns, seed

    def forward(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None = None, *, layers: Layers | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`Upstream.forward`, without the common part."""
        indices, single = resolve_layers(self.layers if layers is None else layers, self.n_layers)
        states, frame_lengths = super().forward(waveform, lengths, layers=indices)
        counts = frame_lengths.tolist()
        # A context of its own: passes of the estimation are not kept with those of the batch.
        common = contextvars.Context().run(self._common, indices, counts, states)
        valid = torch.arange(states.shape[2], device=states.device) < frame_lengths[:, None]
        states = (states - common) * valid[..., None]
        return (states[0] if single else states), frame_lengths

    def _common(self, indices: Sequence[int], counts: Sequence[int], states: torch.Tensor) -> torch.Tensor:
        """Common parts (L, B, N, D) for utterances of ``counts`` frames; anything behind their ends."""
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(states.device.type, enabled=False):
            sizes = [next((size for size in LENGTHS if count <= size), LENGTHS[-1]) for count in counts]
            parts: dict[int, torch.Tensor] = {}
            for size in set(sizes):
                own = torch.stack(self._estimates(indices, size, states.device))
                surplus = states.shape[2] - size
                parts[size] = _held(own, surplus) if surplus > 0 else own[:, : states.shape[2]]
            return torch.stack([parts[size] for size in sizes], dim=1).to(states)

    def _estimates(self, indices: Sequence[int], size: int, device: torch.device) -> list[torch.Tensor]:
        """Common parts (size, D) of the layers ``indices``."""
        kept = _KEPT.setdefault(self.backbone, {})
        keys = {index: (self._key, index, size, device) for index in indices}
        model = self.backbone.model(device)
        if 0 in keys and hasattr(model, "code"):
            kept[keys[0]] = model.code(size)
        missing = [index for index in keys if keys[index] not in kept]
        if missing:
            utterances = self._utterances()
            together = max(_MEMORY // (len(utterances) * self._turns * size * self.feature_dim), 1)
            for start in range(0, len(missing), together):
                group = missing[start : start + together]
                frames = torch.cat([self._turned(waveform, size, group, device) for waveform in utterances], dim=1)
                for index, own in zip(group, frames, strict=True):
                    kept[keys[index]] = _common_part(own, unit_length=self._unit_length)
        return [kept[keys[index]] for index in indices]

    def _utterances(self) -> list[torch.Tensor]:
        least = max(self.backbone.spec.receptive_field, self.sample_rate // 2)
        utterances = [utterance for utterance in self._speech() if len(utterance) >= least]
        if len(utterances) < FEWEST:
            raise ValueError(
                f"remove_position: {self._key[0]} has {len(utterances)} utterances of at least half a second; give "
                f"{FEWEST} or more as `speech`"
            )
        return utterances

    def _turned(self, waveform: torch.Tensor, size: int, indices: list[int], device: torch.device) -> torch.Tensor:
        """Frames (L, turns, size, D) of a ring that is read from random places, round and round."""
        ring = waveform[: len(waveform) // self.hop_length * self.hop_length]
        # The same places whatever was estimated before.
        generator = torch.Generator().manual_seed(hash((self._seed, size, len(ring))) % 2**31)
        starts = torch.randint(len(ring), (self._turns,), generator=generator)
        samples = torch.arange(size * self.hop_length - self.hop_length + self.backbone.spec.receptive_field)
        opened = ring[(starts[:, None] + samples) % len(ring)]
        return super().forward(opened.to(device), layers=indices)[0]


def _held(part: torch.Tensor, count: int) -> torch.Tensor:
    """Append ``count`` times the mean of the last tenth before the end to (L, N, D)."""
    last = part[:, -part.shape[1] // 10 :].mean(1, keepdim=True)
    return torch.cat([part, last.expand(-1, count, -1)], dim=1)


def _common_part(frames: torch.Tensor, *, unit_length: bool) -> torch.Tensor:
    """What frames (V, N, D) have in common at an index beyond what all have: (N, D), of zero mean.

    For frames that are to be L2-normalized: c with the same mean over V of (x - c) / |x - c| at every index,
    by Weiszfeld's iteration. The plain mean would be ruled by the few frames that are many times longer than others.
    """
    mean = frames.mean(0)
    if not unit_length:
        return mean - mean.mean(0)
    common = torch.zeros_like(mean)
    for _ in range(_ITERATIONS):
        directions, inverses = [], []
        for start in range(0, frames.shape[1], _CHUNK):
            rest = frames[:, start : start + _CHUNK] - common[start : start + _CHUNK]
            inverse = 1.0 / rest.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            directions.append((rest * inverse).mean(0))
            inverses.append(inverse.mean(0))
        direction, inverse = torch.cat(directions), torch.cat(inverses)
        excess = direction - direction.mean(0)
        if excess.square().sum(1).mean() < _ENOUGH:
            break
        common = common + excess / inverse
        common = common - common.mean(0)
    return common
