"""SSL-SoftDTW: soft alignment with a reference of another speed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from espnet_plugins.checks import check_choice, check_mapping, check_number
from espnet_plugins.objectives.base import FrameOptions, SSLCriterion, SSLOptions, sample_counts
from espnet_plugins.objectives.draws import integer, utterance_generators
from espnet_plugins.objectives.padding import Padding, frames_between_zeros, rooms
from espnet_plugins.perturb import speed, stretched_length, tempo
from espnet_plugins.schedule import Schedule
from espnet_plugins.soft_dtw import soft_dtw, soft_dtw_divergence

PERTURBATIONS = {"speed": speed, "tempo": tempo}
PAPER_FACTORS = (0.80, 0.85, 0.90, 0.95, 1.0, 1.05, 1.10, 1.15, 1.20)
_BACKENDS = ("auto", "reference", "cpu", "triton")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSLSoftDTWOptions(SSLOptions):
    """Options of :class:`SSLSoftDTW`, besides those of :class:`~espnet_plugins.objectives.base.SSLOptions`.

    Args:
        factors: speeds to draw from: a list, or ``{low: .., high: ..}`` for any hundredth between the two. For each
            utterance only those count at which it is no longer than the upstream takes (Whisper: 30 s).
        perturbation: "speed" (resampling, pitch moves too) or "tempo" (pitch kept).
        gamma: smoothing, above 0, in units of the squared distance; or ``{from: .., to: .., updates: ..}``, a
            :class:`~espnet_plugins.schedule.Schedule` over the updates of a training.
        padding: ``fraction`` and ``place`` of zeros around the perturbed reference, see
            :class:`~espnet_plugins.objectives.padding.Padding`; the frames that stand for them are not aligned, so
            that content has moved to other positions and nothing else. None for no zeros.
        divergence: subtract the mean of the self-alignments; False for plain soft-DTW.
        bandwidth: how far an alignment may leave the line that the factor implies, in frames of the shorter
            sequence; None for no limit.
        per_frame: divide by the longer frame count; False for the raw value.
        normalize_frames: L2-normalize each frame; gamma is chosen for that.
        backend: of :func:`~espnet_plugins.soft_dtw.soft_dtw`.
    """

    factors: Sequence[float] | Mapping[str, float] = PAPER_FACTORS
    perturbation: str = "speed"
    gamma: float | Mapping[str, float] = 0.1
    padding: Mapping[str, Any] | None = None
    divergence: bool = True
    bandwidth: float | None = None
    per_frame: bool = True
    normalize_frames: bool = True
    backend: str = "auto"


class SSLSoftDTW(SSLCriterion):
    """Soft-DTW divergence between the estimate's frames and those of the speed-perturbed reference.

    Divided by the longer of the two frame counts, the least number of cells that an alignment visits: with
    factor 1 and a band of 0 the value is that of ``ssl_mse`` with the same ``normalize_frames``. Draws: see
    :func:`~espnet_plugins.objectives.draws.utterance_generators`. An utterance that some speeds would make longer than
    the upstream takes gets one of the others, and no more zeros than there is room for.

    Source: Meghanani and Hain, ICASSP 2026, SSL-SoftDTW; Cuturi and Blondel, ICML 2017; Blondel et al., AISTATS
    2021, for the divergence.

    Args:
        options: fields of :class:`SSLSoftDTWOptions`.

    Raises:
        ValueError: for an option that is not accepted.

    Example:
        >>> SSLSoftDTW(upstream={"model": "hubert_base", "pretrained": False}).gamma
        0.1
    """

    default_name = "ssl_soft_dtw"

    Options: ClassVar[type[FrameOptions]] = SSLSoftDTWOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        given: SSLSoftDTWOptions = self.options
        key, bandwidth = self.default_name, given.bandwidth
        self.factors = _factors(f"{key}: factors", given.factors)
        self.perturb = PERTURBATIONS[check_choice(f"{key}: perturbation", given.perturbation, PERTURBATIONS)]
        self.gamma = Schedule.from_options(f"{key}: gamma", given.gamma)
        self.padding = None if given.padding is None else Padding.from_options(f"{key}: padding", given.padding)
        if self.padding is not None and self.cache is not None:
            raise ValueError(
                f"{key}: reference_cache: with `padding`, the zeros around a reference are drawn anew each time"
            )
        self.divergence = check_choice(f"{key}: divergence", given.divergence, (True, False))
        self.per_frame = check_choice(f"{key}: per_frame", given.per_frame, (True, False))
        self.backend = check_choice(f"{key}: backend", given.backend, _BACKENDS)
        self.bandwidth = None if bandwidth is None else check_number(f"{key}: bandwidth", bandwidth, low=0)
        if self.bandwidth is not None and self.bandwidth < 0.5 and set(self.factors) != {1.0}:
            raise ValueError(
                f"{key}: bandwidth: {bandwidth} holds no alignment of unequal lengths; give 0.5 or more, or "
                "factors [1.0]"
            )

    def reference_frames(
        self, reference: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of the reference at another speed, between zeros where there is a padding."""
        factors, before, after = self.draw(reference, sample_counts(reference, lengths))
        with torch.no_grad():
            perturbed = self.perturb(reference, lengths, factors)
            if self.padding is None:
                return self.frozen_frames(perturbed.waveform, perturbed.lengths)
            return frames_between_zeros(self, perturbed.waveform, perturbed.lengths, before, after)

    def distance(
        self,
        estimate: torch.Tensor,
        reference: torch.Tensor,
        estimate_lengths: torch.Tensor,
        reference_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Align the estimate with the reference at another speed."""
        align = soft_dtw_divergence if self.divergence else soft_dtw
        gamma = self.gamma.value() if isinstance(self.gamma, Schedule) else self.gamma
        value = align(
            estimate,
            reference,
            estimate_lengths,
            reference_lengths,
            gamma=gamma,
            bandwidth=self.bandwidth,
            backend=self.backend,
        )
        value_per_frame = value / torch.maximum(estimate_lengths, reference_lengths)
        self.stats[f"{self.name}_raw"] = value.detach()
        self.stats[f"{self.name}_per_frame"] = value_per_frame.detach()
        if isinstance(self.gamma, Schedule):
            self.stats[f"{self.name}_gamma"] = torch.full_like(value.detach(), gamma)
        return value_per_frame if self.per_frame else value

    def draw(self, reference: torch.Tensor, samples: Sequence[int]) -> tuple[list[float], list[int], list[int]]:
        """Draw the speed of each utterance of ``samples`` samples, and the hops of zeros before and after it.

        Raises:
            ValueError: for an utterance that is too long for the upstream at every speed.
        """
        generators = utterance_generators(reference, samples)
        fitting = [self._fitting(row, length) for row, length in enumerate(samples)]
        factors = [own[integer(len(own), generator)] for own, generator in zip(fitting, generators, strict=True)]
        if self.padding is None:
            return factors, [0] * len(samples), [0] * len(samples)
        lengths = [stretched_length(length, factor) for length, factor in zip(samples, factors, strict=True)]
        room = rooms(lengths, self.upstream.longest, hop_length=self.upstream.hop_length)
        return factors, *self.padding.draw(samples, generators, hop_length=self.upstream.hop_length, room=room)

    def _fitting(self, row: int, samples: int) -> tuple[float, ...]:
        """The speeds at which an utterance is no longer than the upstream takes."""
        longest, rate = self.upstream.longest, self.upstream.sample_rate
        # An utterance that is too long as it is, is refused where its frames are asked for.
        if longest is None or samples > longest:
            return self.factors
        fitting = tuple(factor for factor in self.factors if stretched_length(samples, factor) <= longest)
        if not fitting:
            raise ValueError(
                f"{self.default_name}: factors: at none of {', '.join(f'{factor:g}' for factor in self.factors)} is "
                f"utterance {row} of the batch, of {samples / rate:.2f} s, within the {longest / rate:g} s of "
                f"{self.upstream.name}; give a factor from 1 on, or cut it (`limits: {{max_seconds: ..}}`)"
            )
        return fitting


def _factors(key: str, value: Any) -> tuple[float, ...]:
    """Give the speeds to draw from; a range stands for all its hundredths, whose kernels can be cached."""
    if isinstance(value, Mapping):
        limits = check_mapping(key, value, ("low", "high"))
        low = check_number(f"{key}.low", limits.get("low"), low=0.25, high=4)
        high = check_number(f"{key}.high", limits.get("high"), low=low, high=4)
        return tuple(percent / 100 for percent in range(round(low * 100), round(high * 100) + 1))
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"{key}: {value!r} is not accepted; give a list of speeds or {{low: .., high: ..}}")
    return tuple(check_number(key, factor, low=0.25, high=4) for factor in value)
