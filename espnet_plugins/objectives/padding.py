"""Zeros around a reference: how many, and the frames of what stands between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from espnet_plugins.checks import check_choice, check_mapping, check_number
from espnet_plugins.objectives.base import SSLCriterion, sample_counts
from espnet_plugins.objectives.draws import integer, uniform
from espnet_plugins.perturb import zero_pad

PLACES = ("before", "after", "both")


@dataclass(frozen=True)
class Padding:
    """Zeros before and after an utterance, in whole frame hops, drawn for each utterance.

    For T samples, a fraction is drawn uniformly and fraction * T is rounded to whole hops.

    Source: Meghanani and Hain, ICASSP 2026, SSL-MSE-PAD; the paper leaves the place of the zeros open.

    Args:
        fraction: (low, high) of the utterance's length.
        place: "before", "after", or "both": the hops are split between the two at random.

    Example:
        >>> Padding.from_options("ssl_mse_pad", {"fraction": [0.1, 0.2]})
        Padding(fraction=(0.1, 0.2), place='both')
    """

    fraction: tuple[float, float] = (0.02, 0.05)
    place: str = "both"

    @classmethod
    def from_options(cls, owner: str, options: Any) -> Padding:
        """Make it from a mapping out of YAML.

        Args:
            owner: what the options belong to, for messages.
            options: ``fraction`` and ``place``; the defaults for what is left out.

        Returns:
            The padding.

        Raises:
            ValueError: for an unknown key or a value that is not accepted, naming both.
        """
        given = check_mapping(owner, options, ("fraction", "place"))
        if "fraction" in given:
            given["fraction"] = _probability_interval(f"{owner}: fraction", given["fraction"])
        if "place" in given:
            check_choice(f"{owner}: place", given["place"], PLACES)
        return cls(**given)

    def draw(
        self,
        samples: Sequence[int],
        generators: Sequence[torch.Generator],
        *,
        hop_length: int,
        room: Sequence[int] | None = None,
    ) -> tuple[list[int], list[int]]:
        """Draw hops of zeros.

        Args:
            samples: length of each utterance.
            generators: one per utterance.
            hop_length: samples from one frame to the next.
            room: hops that each utterance may have at most; any number where left out.

        Returns:
            Hops before and hops after each utterance.
        """
        before, after = [], []
        for row, (length, generator) in enumerate(zip(samples, generators, strict=True)):
            hops = round(uniform(*self.fraction, generator) * length / hop_length)
            hops = hops if room is None else min(hops, room[row])
            front = {"before": hops, "after": 0}.get(self.place)
            before.append(integer(hops + 1, generator) if front is None else front)
            after.append(hops - before[-1])
        return before, after


def rooms(samples: Sequence[int], longest: int | None, *, hop_length: int) -> list[int] | None:
    """Hops of zeros for which each utterance leaves room.

    Args:
        samples: length of each utterance.
        longest: samples that the upstream takes at most; None for any number.
        hop_length: samples from one frame to the next.

    Returns:
        Whole hops from 0 on; None where there is no limit.

    Example:
        >>> rooms([1000, 400, 1001], 1000, hop_length=320), rooms([1000], None, hop_length=320)
        ([0, 1, 0], None)
    """
    return None if longest is None else [max(longest - length, 0) // hop_length for length in samples]


def frames_between_zeros(
    criterion: SSLCriterion,
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    before: Sequence[int],
    after: Sequence[int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames that utterances have between zeros: as many as without these, at other positions.

    Args:
        criterion: gives the frames.
        waveform: (B, T).
        lengths: (B,) samples, or None.
        before: hops of zeros before each utterance.
        after: hops of zeros after it.

    Returns:
        Frames (B, N, D) without those that stand for zeros, zero behind each utterance's end, and their number (B,);
        with several layers, the rows of one layer behind those of the other.
    """
    upstream = criterion.upstream
    padded = zero_pad(waveform, lengths, before, after, hop_length=upstream.hop_length)
    frames, padded_lengths = criterion.frames(padded.waveform, padded.lengths)
    layers = len(criterion.layers)
    count = upstream.frame_lengths(torch.tensor(sample_counts(waveform, lengths)))
    index = torch.arange(int(count.max()), device=frames.device)
    position = (padded.offset.repeat(layers)[:, None] + index).clamp(max=frames.shape[1] - 1)
    content = frames.gather(1, position[..., None].expand(-1, -1, frames.shape[2]))
    count = count.to(padded_lengths).repeat(layers)
    return content.masked_fill((index >= count[:, None])[..., None], 0.0), count


def _probability_interval(key: str, value: Any) -> tuple[float, float]:
    """Give [low, high] within 0..1 as two numbers."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{key}: {value!r} is not accepted; give [low, high]")
    low = check_number(key, value[0], low=0, high=1)
    return low, check_number(key, value[1], low=low, high=1)
