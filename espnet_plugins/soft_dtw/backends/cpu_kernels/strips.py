"""Strips of a cost matrix, their table, and what the passes over them share.

A cost matrix is cut into strips of LANES rows. Inside a strip, step t handles the cells (row + lane, start + t -
lane): none of them needs another, so a step is plain vector arithmetic, and the values of a strip are stored step
by step, where the backward pass reads them in one stretch. Strips depend on the strip above (in the backward
pass, below) only through one row. Workers draw strips from a common counter, pairs interleaved; a strip follows
its neighbor CHUNK steps at a time, so that one long pair occupies all workers too. docs/soft_dtw.md has a picture.

Values are kept in units of gamma * ln 2, so that powers of two do for exponentials, and relative to a base that is
renewed every chunk, so that float32 resolves differences between neighbors however long the path has become.
"""

from typing import NamedTuple

import numpy as np

from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import jit

LANES = 32
CHUNK = 64
# The cost of cells that no path may visit. Sums of millions of it stay finite in float32.
MASKED_COST = 1e30
# What a strip that is finished publishes, above every column.
DONE = 1 << 60

# Columns of the table of strips.
PAIR, ROW, START, STEPS, STORE, CHUNKS = range(6)


class Geometry(NamedTuple):
    """Which cells count.

    Args:
        n: rows of each pair, (B,) int64.
        m: columns of each pair, (B,) int64.
        band_half_width: of each pair, (B,) int64.
    """

    n: np.ndarray
    m: np.ndarray
    band_half_width: np.ndarray


class Matrices(NamedTuple):
    """Costs, or alignments, of all pairs.

    Args:
        cells: row after row, one array for all.
        begin: (B + 1,) where the matrix of each pair begins in them, and the last one ends.
        stride: (B,) how far it is from row to row.
    """

    cells: np.ndarray
    begin: np.ndarray
    stride: np.ndarray


class Queue(NamedTuple):
    """Strips to work on, and what workers tell one another.

    Args:
        table: of `strip_table`.
        counter: one 0; how many strips have been drawn.
        border: (B, longest m): what a strip hands to its neighbor, the latest one of each pair: in the forward pass
            the last row's values, float64, filled with MASKED_COST; in the backward pass what flows up from the
            first row, in the type of the costs, filled with 0.
        progress: (B, strips) int64: how far each strip has come. Forward: columns that are ready, from 0 up;
            backward: the first column that is ready, from a number above the longest m down.
    """

    table: np.ndarray
    counter: np.ndarray
    border: np.ndarray
    progress: np.ndarray


class Saved(NamedTuple):
    """What the forward pass leaves to the backward pass of the pairs with a gradient.

    Args:
        steps: (stored steps, LANES + 1): values of all cells, behind that of the row above.
        base: (stored chunks,): what each chunk is moved by (for the first, the corner cell instead).
    """

    steps: np.ndarray
    base: np.ndarray


@jit
def columns_of_row(i, n, m, band_half_width):
    """First column of row i inside lengths and band, and the one after the last; nothing below row n."""
    if i >= n:
        return m, m
    if n == 1:
        return 0, m
    middle = i * (m - 1)
    return max(0, -((band_half_width - middle) // (n - 1))), min(m - 1, (middle + band_half_width) // (n - 1)) + 1


@jit
def strip_table(n, m, band_half_width, num_with_grad):
    """List the strips of a batch, upper ones first, pairs interleaved.

    Args:
        n: rows of each pair, (B,) int64.
        m: columns of each pair, (B,) int64.
        band_half_width: band of each pair, (B,) int64.
        num_with_grad: how many leading pairs have their values stored.

    Returns:
        (strips, 6) int64: pair, first row, first column, steps, first stored step (0 where nothing is stored),
        first stored chunk.
    """
    count = 0
    for length in n:
        count += (length + LANES - 1) // LANES
    table = np.zeros((count, 6), np.int64)
    k = 0
    stored = 0
    chunks = 0
    for row in range(0, n.max(), LANES):
        for pair in range(len(n)):
            if row < n[pair]:
                last = min(row + LANES, n[pair]) - 1
                start = columns_of_row(row, n[pair], m[pair], band_half_width[pair])[0]
                steps = columns_of_row(last, n[pair], m[pair], band_half_width[pair])[1] - start + last - row
                table[k, PAIR] = pair
                table[k, ROW] = row
                table[k, START] = start
                table[k, STEPS] = steps
                if pair < num_with_grad:
                    table[k, STORE] = stored
                    table[k, CHUNKS] = chunks
                    stored += steps
                    chunks += (steps + CHUNK - 1) // CHUNK
                k += 1
    return table


@jit
def row_bounds(geometry, pair, row, low, high):
    """Fill in the first column of each lane of a strip, and the one after its last."""
    for lane in range(LANES):
        low[lane], high[lane] = columns_of_row(
            row + lane, geometry.n[pair], geometry.m[pair], geometry.band_half_width[pair]
        )
