"""Random numbers of the objectives: fresh in training, fixed in validation, own on each rank."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_RANK_STRIDE = 0x9E3779B1


def utterance_generators(lengths: Sequence[int]) -> list[torch.Generator]:
    """Make one random generator per utterance of a batch.

    With gradients enabled (training) they are seeded from one draw of torch's global CPU generator, the rank
    and the place in the batch. ESPnet seeds the global generator anew at the start of each epoch, so that a
    resumed run repeats the sequence. Without gradients (validation) they are seeded from the utterance's
    length, so that each utterance meets the same perturbation at each validation, however it is batched, and
    the global generator stays untouched.

    Args:
        lengths: samples of each utterance.

    Returns:
        CPU generators.

    Example:
        >>> with torch.no_grad():
        ...     a, b = utterance_generators([16000, 16000])
        >>> torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=b))
        True
    """
    if not torch.is_grad_enabled():
        return [torch.Generator().manual_seed(length) for length in lengths]
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else 0
    first = int(torch.randint(2**31, ())) + rank * _RANK_STRIDE
    return [torch.Generator().manual_seed(first + row) for row in range(len(lengths))]


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """Draw a number from [low, high)."""
    return low + (high - low) * float(torch.rand((), dtype=torch.float64, generator=generator))


def integer(n: int, generator: torch.Generator) -> int:
    """Draw one of 0..n-1."""
    return int(torch.randint(n, (), generator=generator))
