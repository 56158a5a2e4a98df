"""Soft-DTW by enumeration of every path: slow, obvious, and independent of the package."""

import numpy as np


def enumerate_paths(n, m):
    """Every monotone path from (0, 0) to (n - 1, m - 1) in steps down, right and diagonal, as lists of cells."""

    def extend(path):
        i, j = path[-1]
        if (i, j) == (n - 1, m - 1):
            yield path
        for cell in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
            if cell[0] < n and cell[1] < m:
                yield from extend([*path, cell])

    yield from extend([(0, 0)])


def in_band(i, j, n, m, bandwidth):
    """Whether a cell is within `bandwidth` frames of the diagonal, counted along the shorter sequence."""
    if bandwidth is None or n == 1 or m == 1:
        return True
    away = i - j * (n - 1) / (m - 1) if m >= n else j - i * (m - 1) / (n - 1)
    return abs(away) <= bandwidth + 1e-9


def soft_dtw_by_paths(cost, gamma, bandwidth=None):
    """Value and expected alignment of one cost matrix (NumPy, float64); gamma 0 is hard DTW."""
    n, m = cost.shape
    paths = [path for path in enumerate_paths(n, m) if all(in_band(i, j, n, m, bandwidth) for i, j in path)]
    sums = np.array([sum(cost[cell] for cell in path) for path in paths])
    if gamma == 0:
        return sums.min(), None
    weights = np.exp(-(sums - sums.min()) / gamma)
    value = sums.min() - gamma * np.log(weights.sum())
    alignment = np.zeros((n, m))
    for path, weight in zip(paths, weights / weights.sum(), strict=True):
        for cell in path:
            alignment[cell] += weight
    return value, alignment
