"""How sure a difference in error rate is: seeds and paired bootstrap."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from espnet_plugins.analysis.scoring.scores import ScoreError, SetScore

_BATCH = 500
# Draws of at most so many utterances are kept for the next comparison, two bytes each: tables mostly share them.
_KEPT = 20_000_000


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation over seeds (n - 1 in the denominator).

    There is no deviation for one seed, nor where a value is infinite.

    Example:
        >>> mean_and_deviation([9.0, 11.0])
        (10.0, 1.4142135623730951)
        >>> mean_and_deviation([9.0])
        (9.0, None)
    """
    array = np.asarray(values, dtype=float)
    varies = len(array) > 1 and bool(np.isfinite(array).all())
    return float(array.mean()), float(array.std(ddof=1)) if varies else None


@dataclasses.dataclass(frozen=True)
class Interval:
    """A bootstrap result.

    Args:
        value: The statistic on the data themselves.
        low: Lower end of the confidence interval.
        high: Upper end.
        probability_below: Share of the resamples in which the statistic is below zero; for a difference of
            error rates this is Bisani and Ney's probability of improvement (ties count half).
    """

    value: float
    low: float
    high: float
    probability_below: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def stack_errors(scores: Sequence[SetScore], unit: str = "words") -> tuple[np.ndarray, np.ndarray]:
    """Gather the per-utterance counts of one configuration over its seeds.

    Args:
        scores: One per seed, all on the same test set.
        unit: `words` or `characters`.

    Returns:
        Errors, shape (S, U), and reference lengths, shape (U,), utterances sorted by id.

    Raises:
        ScoreError: When the seeds were scored on different utterances.
    """
    ids = sorted(scores[0].utterances)
    for score in scores:
        if sorted(score.utterances) != ids:
            raise ScoreError(f"'{score.system}' and '{scores[0].system}' differ in the utterances of {score.dataset}")
    errors = np.array([[getattr(s.utterances[utt], unit).errors for utt in ids] for s in scores])
    lengths = np.array([getattr(scores[0].utterances[utt], unit).reference for utt in ids])
    return errors, lengths


def bootstrap_rate(
    errors: np.ndarray,
    lengths: np.ndarray,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Confidence interval of an error rate, in per cent.

    Args:
        errors: Errors per seed and utterance, shape (S, U).
        lengths: Reference lengths, shape (U,).
        resamples: Number of bootstrap resamples.
        confidence: Mass inside the interval.
        seed: Of the resampling.

    Returns:
        The rate and its percentile interval.

    Example:
        >>> interval = bootstrap_rate(np.array([[0, 1, 0, 1]]), np.full(4, 5))
        >>> interval.value, interval.low < 10 < interval.high
        (10.0, True)

    Source:
        Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
        ICASSP 2004.
    """
    zeros = np.zeros((1, errors.shape[1]), dtype=errors.dtype)
    return bootstrap_difference(
        zeros, errors, lengths, resamples=resamples, confidence=confidence, seed=seed, pair_seeds=False
    )


def bootstrap_difference(
    baseline: np.ndarray,
    system: np.ndarray,
    lengths: np.ndarray,
    *,
    pair_seeds: bool = False,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Confidence interval of `rate(system) - rate(baseline)`, in per cent absolute.

    A resample draws utterances with replacement, the same ones for both systems, and seeds with
    replacement within each system, so that the interval covers the test set and the training runs. Drawing
    from S seeds understates their variance by (S - 1) / S; with one seed it says nothing about other runs.

    Args:
        baseline: Errors per seed and utterance, shape (S1, U).
        system: The same for the other system, shape (S2, U).
        lengths: Reference lengths, shape (U,).
        pair_seeds: Draw the same seeds for both: right when seed s started both runs from the same data
            order and weights.
        resamples: Number of bootstrap resamples.
        confidence: Mass inside the interval.
        seed: Of the resampling.

    Returns:
        The difference, negative when `system` is better, and its percentile interval.

    Raises:
        ValueError: When the shapes do not fit together.

    Example:
        >>> worse, better = np.array([[2, 1, 2, 1] * 20]), np.array([[1, 0, 1, 0] * 20])
        >>> interval = bootstrap_difference(worse, better, np.full(80, 5))
        >>> interval.value, interval.high < 0
        (-20.0, True)

    Source:
        Bisani and Ney 2004, equations 4 to 6, with a second level for the seeds.
    """
    if baseline.shape[1:] != lengths.shape or system.shape[1:] != lengths.shape:
        raise ValueError(f"errors {baseline.shape}, {system.shape} do not fit lengths {lengths.shape}")
    if pair_seeds and len(baseline) != len(system):
        raise ValueError(f"cannot pair {len(baseline)} with {len(system)} seeds")
    seeds = (len(baseline), 0 if pair_seeds else len(system))
    draw = _kept_draws if len(lengths) * resamples <= _KEPT else _draws
    # All sums over utterances are one matrix product.
    columns = np.concatenate([baseline, system, lengths[None]]).T
    columns = columns.astype(_exact_type(columns))
    parts = []
    for counts, first, second in draw(seed, len(lengths), *seeds, resamples):
        sums = (counts.astype(columns.dtype) @ columns).astype(float)
        of_baseline, of_system = sums[:, : len(baseline)], sums[:, len(baseline) : -1]
        difference = (of_system * second).sum(axis=1) - (of_baseline * first).sum(axis=1)
        parts.append(100.0 * difference / sums[:, -1])
    differences = np.concatenate(parts)
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(differences, [tail, 100.0 - tail])
    value = 100.0 * (system.mean(axis=0).sum() - baseline.mean(axis=0).sum()) / lengths.sum()
    below = float(np.mean(differences < 0) + 0.5 * np.mean(differences == 0))
    return Interval(float(value), float(low), float(high), below)


def _exact_type(columns: np.ndarray) -> type[np.floating]:
    """The smaller floating point type in which sums over as many rows as there are, each drawn any times, are exact."""
    counts = np.issubdtype(columns.dtype, np.integer)
    return np.float32 if counts and len(columns) * int(abs(columns).max(initial=0)) < 2**24 else np.float64


def _draws(
    seed: int, count: int, first: int, second: int, resamples: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Draw in batches: how often each utterance, shape (batch, count), and the weights of the seeds of both systems.

    Args:
        seed: Of the draws.
        count: Utterances.
        first: Seeds of the one system.
        second: Of the other; 0: the same ones.
        resamples: In all.
    """
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, _BATCH):
        batch = min(_BATCH, resamples - start)
        times = _draw_utterances(generator, count, batch)
        weights = _draw_seeds(generator, first, batch)
        yield times, weights, _draw_seeds(generator, second, batch) if second else weights


@lru_cache(maxsize=8)
def _kept_draws(*args: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What _draws() gives, kept in memory."""
    return list(_draws(*args))


def _draw_utterances(generator: np.random.Generator, count: int, batch: int) -> np.ndarray:
    """How many times each resample draws each utterance, shape (batch, count)."""
    draws = generator.integers(count, size=(batch, count)) + count * np.arange(batch)[:, None]
    times = np.bincount(draws.ravel(), minlength=batch * count).reshape(batch, count)
    return times.astype(np.min_scalar_type(count))


def _draw_seeds(generator: np.random.Generator, count: int, batch: int) -> np.ndarray:
    """Weights of the seeds in each resample, shape (batch, count), summing to one."""
    return generator.multinomial(count, np.full(count, 1.0 / count), size=batch) / count
