"""How much of the difference between utterances their frames' index explains, without bias, with intervals."""

from __future__ import annotations

import numpy as np
import torch

from espnet_plugins.analysis.comparison.statistics import Interval
from espnet_plugins.analysis.probe.result import Shares

# Below this share of the power there is no variance left but rounding.
_ROUNDING = 1e-9


class Vectors:
    """Vectors of several utterances at the same indices, gathered one utterance after the other.

    Source:
        The share is 1 - D_same / D_any, with D_same and D_any the mean squared distances between vectors of two
        different utterances at the same index and at any two indices: the variance component of a random-effects
        analysis of variance with the index as factor. Both are averages over pairs of different utterances
        (U-statistics), so the component is zero in expectation where the index explains nothing.

    Example:
        >>> code = torch.eye(4)
        >>> vectors = Vectors()
        >>> for _ in range(5):
        ...     vectors.add(code[None], shifts=[0])
        >>> vectors.shares().index.value
        1.0
    """

    def __init__(self) -> None:
        self._means: list[torch.Tensor] = []
        self._power: list[float] = []
        self._moved: list[float] = []

    def add(self, vectors: torch.Tensor, *, shifts: list[int] | None = None) -> None:
        """Add the vectors of an utterance.

        Args:
            vectors: (K, N, D): K versions of the utterance, turned by different numbers of indices.
            shifts: by how many; without them the versions differ in more than this, each index of each
                version counts as an index of its own, and ``moved`` is not measured.
        """
        versions, count, _ = vectors.shape
        vectors = vectors.double()
        self._power.append(float(vectors.square().sum(2).mean()))
        if shifts is None:
            self._means.append(vectors.reshape(1, versions * count, -1).squeeze(0).float())
            return
        self._means.append(vectors.mean(0).float())
        if versions > 1:
            content = torch.stack([version.roll(-shift, 0) for version, shift in zip(vectors, shifts, strict=True)])
            # Of the population of all indices, of which `versions` were drawn without replacement.
            self._moved.append(float(content.var(0).sum(1).mean()) * (count - 1) / count)

    def shares(self, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0) -> Shares:
        """Estimate the shares.

        Args:
            resamples: of the bootstrap over utterances; pairs of an utterance with itself stay left out, which
                makes the intervals wide rather than narrow where there is no effect.
            confidence: mass inside an interval.
            seed: of the bootstrap.

        Returns:
            The shares; not a number where the vectors do not vary.
        """
        means = torch.stack(self._means)
        count = len(means)
        same = _products(means.flatten(1)) / means.shape[1]
        anywhere = _products(means.double().mean(1))
        power, moved = np.array(self._power), np.array(self._moved)
        draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=resamples)
        weights = np.concatenate([np.ones((1, count)), draws])
        pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
        mean_power = weights @ power / count
        between = ((weights @ anywhere) * weights).sum(1) / np.maximum(pairs, 1)
        total = mean_power - between
        explained = ((weights @ same) * weights).sum(1) / np.maximum(pairs, 1) - between
        # A resample of one utterance alone has no pairs.
        usable = (total > _ROUNDING * mean_power) & (pairs > 0)
        tail = 50.0 * (1.0 - confidence)

        def interval(part: np.ndarray) -> Interval:
            if not usable[0]:
                return Interval(*[float("nan")] * 4)
            value, *resampled = (part / np.where(usable, total, 1.0))[usable]
            low, high = np.percentile(resampled, [tail, 100.0 - tail])
            return Interval(float(value), float(low), float(high), float(np.mean(np.array(resampled) < 0)))

        return Shares(interval(explained), interval(weights @ moved / count) if len(moved) == count else None)


def _products(vectors: torch.Tensor) -> np.ndarray:
    """Inner products of the rows of (U, D) with each other, zero for a row with itself."""
    vectors = vectors.double()
    return (vectors @ vectors.T).fill_diagonal_(0.0).numpy()
