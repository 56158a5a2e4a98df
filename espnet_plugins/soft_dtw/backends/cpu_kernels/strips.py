"""Strips of a cost matrix, their table, and what the passes over them share.

A cost matrix is cut into strips of LANES rows. Inside a strip, step t handles the cells (row + lane, start + t -
lane): none of them needs another, so a step is plain vector arithmetic. The forward pass keeps what a chunk of CHUNK
steps began with; the backward pass computes the chunk anew where an alignment goes through it, which is a small part
of a matrix unless gamma is large. Strips depend on the strip above (in the backward pass, below) only through one row.
Workers draw strips from a common counter, pairs interleaved; a strip follows its neighbor CHUNK steps at a time, so
that one long pair occupies all workers too. docs/soft_dtw.md has a picture.

Values are kept in units of gamma * ln 2, so that powers of two do for exponentials: value v as the number 2 ** -v, in
two parts (`numerics.py`). Its exponent is relative to a base that is renewed every chunk, so that float32 holds it
exactly however long the path has become.
"""

from typing import NamedTuple

import numpy as np

from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import jit

LANES = 32
CHUNK = 32
# The cost of cells that no path may visit. Sums of millions of it stay finite in float32.
MASKED_COST = 1e30
# What a strip that is finished publishes, above every column.
DONE = 1 << 60

# Columns of the table of strips.
PAIR, ROW, START, STEPS, CHUNKS = range(5)

# A step of a chunk is kept as the exponents of LANES values, then as many fractions, each behind that of the row above.
FRACTION = LANES + 1
RECORD = 2 * FRACTION
# Where the record of what a chunk began with holds exponents, then fractions, of the row above.
ABOVE = 2 * RECORD


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


class Costs(NamedTuple):
    """What the costs of all pairs are made of, in units of gamma * ln 2: factor * cell + scale * (row + column).

    Args:
        matrices: Matrices of one number for each cell.
        factor: what turns these into costs, in their type.
        scale: what turns the terms into costs, in their type.
        rows: (B, longest n) one term for each row.
        columns: (B, longest m) one term for each column.
    """

    matrices: Matrices
    factor: np.floating
    scale: np.floating
    rows: np.ndarray
    columns: np.ndarray


class Queue(NamedTuple):
    """Strips to work on, and what workers tell one another.

    Args:
        table: of `strip_table`.
        counter: one 0; how many strips have been drawn.
        border: what a strip hands to its neighbor, the latest one of each pair. Forward: (B, longest m, 2) float64,
            the last row's exponents, filled with MASKED_COST, and fractions. Backward: (B, longest m, 1), what flows
            up from the first row, in the type of the costs, filled with 0.
        progress: (B, strips) int64: how far each strip has come. Forward: columns that are ready, from 0 up;
            backward: the first column that is ready, from a number above the longest m down.
    """

    table: np.ndarray
    counter: np.ndarray
    border: np.ndarray
    progress: np.ndarray


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
        num_with_grad: how many leading pairs have their chunks stored.

    Returns:
        (strips, 5) int64: pair, first row, first column, steps, first stored chunk (0 where nothing is stored).
    """
    count = 0
    for length in n:
        count += (length + LANES - 1) // LANES
    table = np.zeros((count, 5), np.int64)
    k = 0
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
                    table[k, CHUNKS] = chunks
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
