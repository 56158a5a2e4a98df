"""Random numbers of the objectives: fresh in training, fixed in validation, own on each rank."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import torch

_RANK_STRIDE = 0x9E3779B1
_PROBES = 64


def utterance_generators(reference: torch.Tensor, samples: Sequence[int]) -> list[torch.Generator]:
    """Make one random generator per utterance of a batch.

    With gradients enabled (training) they are seeded from one draw of torch's global CPU generator, the rank
    and the place in the batch. ESPnet seeds the global generator anew at the start of each epoch, so that a
    resumed run repeats the sequence. Without gradients (validation) they are seeded from the reference itself,
    so that an utterance meets the same perturbation at each validation, however it is batched, and the global
    generator stays untouched.

    Args:
        reference: waveforms (B, T).
        samples: length of each utterance.

    Returns:
        CPU generators.

    Example:
        >>> with torch.no_grad():
        ...     a, b = utterance_generators(torch.ones(2, 400), [400, 400])
        >>> torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=b))
        True
    """
    if not torch.is_grad_enabled():
        return [torch.Generator().manual_seed(seed) for seed in _fingerprints(reference, samples)]
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else 0
    first = int(torch.randint(2**31, ())) + rank * _RANK_STRIDE
    return [torch.Generator().manual_seed(first + row) for row in range(len(samples))]


def _fingerprints(reference: torch.Tensor, samples: Sequence[int]) -> list[int]:
    """A number that depends on the valid samples of each utterance alone; reads few of them off the device."""
    probes = [
        utterance[:length][:: max(length // _PROBES, 1)] for utterance, length in zip(reference, samples, strict=True)
    ]
    read = torch.cat(probes).cpu().split([len(probe) for probe in probes])
    return [crc32(probe.float().numpy().tobytes(), length) for probe, length in zip(read, samples, strict=True)]


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """Draw a number from [low, high)."""
    return low + (high - low) * float(torch.rand((), dtype=torch.float64, generator=generator))


def integer(n: int, generator: torch.Generator) -> int:
    """Draw one of 0..n-1."""
    return int(torch.randint(n, (), generator=generator))
