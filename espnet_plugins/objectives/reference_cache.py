"""Frames of clean references that are computed once and kept: the option `reference_cache` of the SSL criteria."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_plugins.checks import check_mapping

Frames = tuple[torch.Tensor, torch.Tensor]
_UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def check_memory(key: str, value: Any) -> int:
    """Give an amount of memory in bytes.

    Args:
        key: What the option is called, for the message.
        value: A number of bytes, or one with a unit: "500MB", "2 GB".

    Raises:
        ValueError: For anything else.

    Example:
        >>> check_memory("memory", "1.5GB")
        1500000000
    """
    found = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS)})", str(value))
    if isinstance(value, bool) or found is None or float(found[1]) == 0:
        raise ValueError(f"{key}: {value!r} is not accepted; give bytes, or a number with kB, MB, GB or TB: 2GB")
    return round(float(found[1]) * _UNITS[found[2]])


class ReferenceCache:
    """Frames by what the waveform holds, sample for sample, until the memory is full.

    An utterance at another speed, or cut elsewhere, is another waveform. Each goes through the model alone, so that its
    frames are the same bits whoever else is in the batch, kept or not: a resumed training goes on as if never stopped.
    What is kept stays; nothing makes room for others.

    Args:
        memory: Bytes of frames at most, on the host.
    """

    def __init__(self, memory: int):
        self.memory = self.left = memory
        self._kept: dict[tuple[int, bytes], torch.Tensor] = {}

    @classmethod
    def from_options(cls, key: str, options: Any) -> ReferenceCache | None:
        """The cache that an option describes: `{memory: 2GB}`, or None for none.

        Raises:
            ValueError: For a value that is not accepted.
        """
        if options is None:
            return None
        given = check_mapping(key, options, ("memory",))
        return cls(check_memory(f"{key}: memory", given.get("memory")))

    def __len__(self) -> int:
        """How many waveforms' frames are kept."""
        return len(self._kept)

    def __call__(
        self,
        waveform: torch.Tensor,
        lengths: torch.Tensor | None,
        frames: Callable[[torch.Tensor, torch.Tensor | None], Frames],
    ) -> Frames:
        """Frames of a batch, without a graph.

        Args:
            waveform: (B, T).
            lengths: (B,) samples of each utterance; T where left out.
            frames: Gives those of a batch, (L * B, N, D), the rows of a layer behind those of the one before, and their
                numbers, (L * B,).

        Returns:
            As `frames`.

        Raises:
            ValueError: As `frames`.
        """
        counts = [waveform.shape[1]] * len(waveform) if lengths is None else lengths.tolist()
        try:
            rows = [self._frames_of(waveform[row : row + 1, :n], frames) for row, n in enumerate(counts)]
        except ValueError:
            # Says which row of the batch it is.
            return frames(waveform, lengths)
        by_layer = [layer for layers in zip(*rows, strict=True) for layer in layers]
        numbers = torch.tensor([len(layer) for layer in by_layer], device=waveform.device)
        return pad_sequence(by_layer, batch_first=True), numbers

    def _frames_of(self, utterance: torch.Tensor, frames: Callable[..., Frames]) -> torch.Tensor:
        """(L, N, D) of one utterance, (1, T)."""
        content = utterance.detach().cpu().contiguous().numpy()
        key = (content.shape[1], hashlib.blake2b(content.tobytes(), digest_size=16).digest())
        if key in self._kept:
            return self._kept[key].to(utterance.device)
        with torch.no_grad():
            found, _ = frames(utterance, None)
        size = found.numel() * found.element_size()
        if size <= self.left:
            self.left -= size
            self._kept[key] = found.cpu().clone()
        return found
