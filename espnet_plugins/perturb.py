"""Perturbations of a reference waveform, with what pairs its frames with the original's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import torch
from torch.nn.functional import conv1d, pad
from torch.nn.utils.rnn import pad_sequence

_LARGEST_DENOMINATOR = 100
_WINDOW = 512
_SEARCH = 160


class Perturbed(NamedTuple):
    """A perturbed batch; frame i of the original lies at frame ``offset + slope * i`` of it, to within a frame.

    Args:
        waveform: (B, T'), zero behind each utterance's end.
        lengths: (B,) samples, long.
        offset: (B,) frames, long.
        slope: (B,) perturbed frames per original frame.
    """

    waveform: torch.Tensor
    lengths: torch.Tensor
    offset: torch.Tensor
    slope: torch.Tensor


def zero_pad(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    before: Sequence[int],
    after: Sequence[int],
    *,
    hop_length: int = 320,
) -> Perturbed:
    """Put zeros before and after each utterance, in whole hops, so that its frames still pair one to one.

    Args:
        waveform: (B, T).
        lengths: (B,) samples, or None for T each.
        before: hops of zeros before each utterance.
        after: hops of zeros after it.
        hop_length: samples from one frame to the next.

    Returns:
        The padded batch; ``offset`` is ``before``.

    Raises:
        ValueError: for counts that do not fit the batch or are negative.

    Example:
        >>> zero_pad(torch.ones(1, 4), None, [1], [0], hop_length=2).waveform.tolist()
        [[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]]
    """
    utterances = _utterances(waveform, lengths)
    counts = list(zip(before, after, strict=True))
    if len(counts) != len(utterances) or any(count < 0 for pair in counts for count in pair):
        raise ValueError(f"before and after need {len(utterances)} counts of hops from 0 on, not {counts}")
    padded = [
        pad(utterance, (front * hop_length, back * hop_length))
        for utterance, (front, back) in zip(utterances, counts, strict=True)
    ]
    return _perturbed(padded, waveform.device, before, [1.0] * len(padded))


def speed(waveform: torch.Tensor, lengths: torch.Tensor | None, factors: Sequence[float]) -> Perturbed:
    """Play each utterance ``factor`` times as fast, pitch included, by anti-aliased polyphase resampling.

    An utterance of n samples becomes ``ceil(n / factor)`` long. Utterances of one factor are resampled together
    and give what each gives alone.

    Args:
        waveform: (B, T).
        lengths: (B,) samples, or None for T each.
        factors: one per utterance, in hundredths or simpler fractions; above 1 is shorter.

    Returns:
        The perturbed batch; ``slope`` is 1 / factor.

    Raises:
        ValueError: for factors that do not fit the batch, are no fraction of at most 100, or lie beyond 0.25..4.

    Example:
        >>> speed(torch.zeros(2, 16000), None, [0.8, 1.0]).lengths.tolist()
        [20000, 16000]
    """

    def resample(batch: torch.Tensor, ratios: Sequence[Fraction]) -> dict[int, torch.Tensor]:
        rows_of: dict[Fraction, list[int]] = defaultdict(list)
        for row, ratio in enumerate(ratios):
            rows_of[ratio].append(row)
        resampled: dict[int, torch.Tensor] = {}
        for ratio, rows in rows_of.items():
            if ratio != 1:
                resampler = _resampler(ratio, batch.device, batch.dtype)
                resampled.update(zip(rows, resampler(batch[rows]), strict=True))
        return resampled

    return _stretch(waveform, lengths, factors, resample)


def tempo(waveform: torch.Tensor, lengths: torch.Tensor | None, factors: Sequence[float]) -> Perturbed:
    """Play each utterance ``factor`` times as fast at its own pitch, by waveform-similarity overlap-add.

    Half-overlapping windows of 32 ms are taken from the utterance where the factor says, moved by up to 10 ms to
    where they continue the previous one best, and added up.

    Source: Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA)", ICASSP 1993.

    Args:
        waveform: (B, T) at 16 kHz.
        lengths: (B,) samples, or None for T each.
        factors: one per utterance, as in :func:`speed`.

    Returns:
        The perturbed batch; lengths and ``slope`` as in :func:`speed`.

    Raises:
        ValueError: as :func:`speed`.

    Example:
        >>> tempo(torch.zeros(1, 16000), None, [1.25]).lengths.tolist()
        [12800]
    """
    return _stretch(waveform, lengths, factors, _overlap_add)


def _overlap_add(batch: torch.Tensor, ratios: Sequence[Fraction]) -> torch.Tensor:
    """WSOLA of each row of (B, T); padding must be zero."""
    half, reach, device = _WINDOW // 2, _SEARCH, batch.device
    longest = max(_stretched_length(batch.shape[1], ratio) for ratio in ratios)
    steps = torch.arange(ceil(longest / half) + 1, device=device)
    factors = torch.tensor([float(ratio) for ratio in ratios], device=device, dtype=torch.float64)
    front = 4 * half + reach
    # Window k lands half a window before sample k * half of the output, so that the first sample has two.
    anchors = ((steps - 1) * half * factors[:, None]).round().long() + front
    last = int((len(steps) - 2) * half * max(ratios)) + reach + half + _WINDOW
    source = pad(batch, (front, max(last + 1 - batch.shape[1], 0)))
    window = torch.hann_window(_WINDOW, device=device, dtype=batch.dtype)
    moves = torch.arange(-reach, reach + 1, device=device)
    # Among equals (silence, a periodic sound) the smallest move wins.
    penalty = 1e-3 * moves.abs() / reach
    span, around = torch.arange(_WINDOW, device=device), torch.arange(-reach, reach + _WINDOW, device=device)
    output = batch.new_zeros(len(batch), (len(steps) + 1) * half)
    expected = source.gather(1, anchors[:, :1] + span)
    for step in range(len(steps)):
        anchor = anchors[:, step, None]
        region = source.gather(1, anchor + around)
        energy = region.square().unfold(1, _WINDOW, 1).sum(2) * expected.square().sum(1, keepdim=True)
        products = conv1d(region.unsqueeze(0), expected.unsqueeze(1), groups=len(batch)).squeeze(0)
        likeness = products / energy.clamp(min=1e-12).sqrt()
        start = anchor + moves[(likeness - penalty).argmax(1)].unsqueeze(1)
        output[:, step * half : step * half + _WINDOW] += window * source.gather(1, start + span)
        expected = source.gather(1, start + half + span)
    return output[:, half:]


def _stretch(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    factors: Sequence[float],
    transform: Callable[[torch.Tensor, Sequence[Fraction]], Mapping[int, torch.Tensor] | torch.Tensor],
) -> Perturbed:
    """Apply ``transform`` to a batch that is zero behind its ends, and cut each row to its new length."""
    utterances = _utterances(waveform.to(torch.promote_types(waveform.dtype, torch.float32)), lengths)
    if len(factors) != len(utterances):
        raise ValueError(f"factors must hold one number per utterance ({len(utterances)}), not {len(factors)}")
    ratios = [_ratio(factor) for factor in factors]
    with torch.autocast(waveform.device.type, enabled=False):
        transformed = transform(pad_sequence(utterances, batch_first=True), ratios)
    stretched = [
        utterance if ratio == 1 else transformed[row][: _stretched_length(len(utterance), ratio)]
        for row, (utterance, ratio) in enumerate(zip(utterances, ratios, strict=True))
    ]
    return _perturbed(stretched, waveform.device, [0] * len(stretched), [float(1 / ratio) for ratio in ratios])


def _ratio(factor: float) -> Fraction:
    ratio = Fraction(factor).limit_denominator(_LARGEST_DENOMINATOR)
    if not 0.25 <= factor <= 4 or abs(float(ratio) - factor) > 1e-6:
        raise ValueError(
            f"speed factor {factor}: accepted are 0.25 to 4, as a fraction of at most {_LARGEST_DENOMINATOR} "
            "(hundredths, say)"
        )
    return ratio


def _stretched_length(samples: int, ratio: Fraction) -> int:
    return ceil(samples / ratio)


def stretched_length(samples: int, factor: float) -> int:
    """Samples that :func:`speed` and :func:`tempo` make of an utterance.

    Args:
        samples: its own.
        factor: as theirs.

    Raises:
        ValueError: for a factor that they do not take.

    Example:
        >>> stretched_length(16000, 0.8)
        20000
    """
    return _stretched_length(samples, _ratio(factor))


@lru_cache(maxsize=256)
def _resampler(ratio: Fraction, device: torch.device, dtype: torch.dtype) -> torch.nn.Module:
    from torchaudio.transforms import Resample

    return Resample(ratio.numerator, ratio.denominator, dtype=torch.float64).to(device, dtype)


def _utterances(waveform: torch.Tensor, lengths: torch.Tensor | None) -> list[torch.Tensor]:
    if waveform.ndim != 2:
        raise ValueError(f"waveform must be (batch, samples), not {list(waveform.shape)}")
    samples = [waveform.shape[1]] * len(waveform) if lengths is None else lengths.tolist()
    if len(samples) != len(waveform) or any(not 0 <= length <= waveform.shape[1] for length in samples):
        raise ValueError(f"lengths {samples} do not fit a waveform of {list(waveform.shape)}")
    return [utterance[:length] for utterance, length in zip(waveform, samples, strict=True)]


def _perturbed(
    utterances: list[torch.Tensor], device: torch.device, offset: Sequence[int], slope: Sequence[float]
) -> Perturbed:
    return Perturbed(
        pad_sequence(utterances, batch_first=True),
        torch.tensor([len(utterance) for utterance in utterances], device=device),
        torch.tensor(list(offset), device=device),
        torch.tensor(slope, device=device),
    )
