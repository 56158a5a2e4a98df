"""Perturbations of a reference waveform, with what pairs its frames with the original's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

_LARGEST_DENOMINATOR = 100
_VOCODER_WINDOW = 512
_VOCODER_HOP = 128


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
    hop: int = 320,
) -> Perturbed:
    """Put zeros before and after each utterance, in whole hops, so that its frames still pair one to one.

    Args:
        waveform: (B, T).
        lengths: (B,) samples, or None for T each.
        before: hops of zeros before each utterance.
        after: hops of zeros after it.
        hop: samples from one frame to the next.

    Returns:
        The padded batch; ``offset`` is ``before``.

    Raises:
        ValueError: for counts that do not fit the batch or are negative.

    Example:
        >>> zero_pad(torch.ones(1, 4), None, [1], [0], hop=2).waveform.tolist()
        [[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]]
    """
    utterances = _utterances(waveform, lengths)
    counts = list(zip(before, after, strict=True))
    if len(counts) != len(utterances) or any(count < 0 for pair in counts for count in pair):
        raise ValueError(f"before and after need {len(utterances)} counts of hops from 0 on, not {counts}")
    padded = [
        pad(utterance, (front * hop, back * hop)) for utterance, (front, back) in zip(utterances, counts, strict=True)
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

    def resample(batch: torch.Tensor, ratio: Fraction) -> torch.Tensor:
        return _resampler(ratio, batch.device, batch.dtype)(batch)

    return _stretch(waveform, lengths, factors, resample)


def tempo(waveform: torch.Tensor, lengths: torch.Tensor | None, factors: Sequence[float]) -> Perturbed:
    """Play each utterance ``factor`` times as fast at its own pitch, by a phase vocoder.

    Args:
        waveform: (B, T).
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

    def vocode(batch: torch.Tensor, ratio: Fraction) -> torch.Tensor:
        from torchaudio.functional import phase_vocoder

        window = torch.hann_window(_VOCODER_WINDOW, device=batch.device, dtype=batch.dtype)
        stft = torch.stft(batch, _VOCODER_WINDOW, _VOCODER_HOP, window=window, return_complex=True)
        # The phase that a bin's centre frequency turns by in one hop.
        advance = torch.linspace(0, torch.pi * _VOCODER_HOP, stft.shape[1], device=batch.device, dtype=batch.dtype)
        stretched = phase_vocoder(stft, float(ratio), advance.unsqueeze(1))
        length = _stretched_length(batch.shape[1], ratio)
        return torch.istft(stretched, _VOCODER_WINDOW, _VOCODER_HOP, window=window, length=length)

    return _stretch(waveform, lengths, factors, vocode, alone=True)


def _stretch(
    waveform: torch.Tensor,
    lengths: torch.Tensor | None,
    factors: Sequence[float],
    transform: Callable[[torch.Tensor, Fraction], torch.Tensor],
    *,
    alone: bool = False,
) -> Perturbed:
    """Transform utterances of equal factor (and, where ``alone``, equal length) together."""
    utterances = _utterances(waveform.to(torch.promote_types(waveform.dtype, torch.float32)), lengths)
    if len(factors) != len(utterances):
        raise ValueError(f"factors must hold one number per utterance ({len(utterances)}), not {len(factors)}")
    ratios = [_ratio(factor) for factor in factors]
    rows_of: dict[tuple[Fraction, int], list[int]] = defaultdict(list)
    for row, ratio in enumerate(ratios):
        rows_of[ratio, len(utterances[row]) if alone else 0].append(row)
    stretched = list(utterances)
    with torch.autocast(waveform.device.type, enabled=False):
        for (ratio, _), rows in rows_of.items():
            if ratio == 1:
                continue
            batch = transform(pad_sequence([utterances[row] for row in rows], batch_first=True), ratio)
            for row, result in zip(rows, batch, strict=True):
                stretched[row] = result[: _stretched_length(len(utterances[row]), ratio)]
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
