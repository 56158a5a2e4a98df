"""The forward pass over strips: costs to values."""

import math

import numpy as np

from espnet_plugins.soft_dtw.backends.cpu_kernels.atomics import fetch_add, load, publish, yield_thread
from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import jit
from espnet_plugins.soft_dtw.backends.cpu_kernels.strips import (
    ABOVE,
    CHUNK,
    CHUNKS,
    DONE,
    FRACTION,
    LANES,
    MASKED_COST,
    PAIR,
    RECORD,
    ROW,
    START,
    STEPS,
    row_bounds,
)
from espnet_plugins.soft_dtw.backends.cpu_kernels.transpose import BLOCK, copy, transpose_block, transpose_inside
from espnet_plugins.soft_dtw.backends.cpu_kernels.vectors import SIZE, Memory, Vector, on_vectors

# Steps after which fractions are brought back to [1, 2). A step makes a fraction at most 3 * sqrt(2) times as large.
_SETTLE = 8


def _power(x: Vector) -> Vector:
    """2 ** x for |x| <= 0.5."""
    if x.is_double:
        return (x * math.log(2)).exponential()
    # Coefficients of least maximal relative error, at most 1e-7, and 1 at 0.
    first, *coefficients = 0.0013264727080454302, 0.009671512862323622, 0.055507337456455724, 0.24022242081840844
    power = x * first + coefficients[0]
    for coefficient in (*coefficients[1:], 0.6931469775965874, 1.0):
        power = power.times_plus(x, coefficient)
    return power


@on_vectors
def _split_step(step: Memory, rows: Memory, columns: Memory):
    """Turn costs c of a step into exponents and fractions of 2 ** -c; find those that are infinite or NaN."""
    found = []
    for lane in range(0, LANES, SIZE):
        cost = step[FRACTION + 1 + lane] + (rows[lane] + columns[lane])
        whole = cost.nearest()
        step[1 + lane], step[FRACTION + 1 + lane] = whole, _power(whole - cost)
        found.append(cost.not_finite())
    return found


@on_vectors
def _settle_step(step: Memory, _first: Memory, _second: Memory):
    """Bring the fractions of a step back to [1, 2)."""
    for lane in range(0, LANES, SIZE):
        exponent, fraction = step[FRACTION + 1 + lane].split()
        step[1 + lane], step[FRACTION + 1 + lane] = step[1 + lane] - exponent, fraction


def weigh(before: Memory, last: Memory, lane: int) -> tuple[Vector, tuple[Vector, Vector, Vector]]:
    """Predecessors of SIZE cells, above, to the left and diagonal.

    Args:
        before: the step before the last one.
        last: the last step.
        lane: of the first cell.

    Returns:
        The least of their exponents, and their fractions relative to it.
    """
    places = (last, lane), (last, lane + 1), (before, lane)
    exponents = [step[at] for step, at in places]
    least = exponents[0].minimum(exponents[1]).minimum(exponents[2])
    up, left, diagonal = (
        step[FRACTION + at].scaled(least - exponent) for (step, at), exponent in zip(places, exponents, strict=True)
    )
    return least, (up, left, diagonal)


@on_vectors
def _forward_step(before: Memory, last: Memory, step: Memory):
    """Values of a step, in the place of its costs."""
    for lane in range(0, LANES, SIZE):
        least, (up, left, diagonal) = weigh(before, last, lane)
        step[1 + lane] = step[1 + lane] + least
        step[FRACTION + 1 + lane] = step[FRACTION + 1 + lane] * (up + left + diagonal)


@jit
def _skew(cost, corner, columns, first, steps, factor, low, high, chunk):
    """Gather a chunk of costs so that the cells of a step lie side by side; walls outside lengths and band.

    Lane l of step t is column first + t - l of row l, that is, cost[corner + t + l * (columns - 1)]; it counts
    when low[l] <= first + t - l < high[l]. They are put where the fractions of the step will be.
    """
    size = cost.itemsize
    masked = chunk.dtype.type(MASKED_COST)
    for lane in range(0, LANES, BLOCK):
        # The bounds rise from lane to lane, the column falls: the outermost lanes decide about a block.
        begin = low[lane + BLOCK - 1] + lane + BLOCK - 1 - first
        end = min(high[lane] + lane - first, steps) - BLOCK
        for t in range(0, steps, BLOCK):
            source = corner + t + lane * (columns - 1)
            target = (t + 2) * RECORD + FRACTION + 1 + lane
            if begin <= t and t <= end:
                transpose_block(
                    cost.ctypes.data + source * size,
                    columns - 1,
                    chunk.ctypes.data + target * size,
                    RECORD,
                    factor,
                )
            else:
                transpose_inside(
                    cost.ctypes.data + source * size,
                    columns - 1,
                    chunk.ctypes.data + target * size,
                    RECORD,
                    factor,
                    low.ctypes.data + lane * low.itemsize,
                    high.ctypes.data + lane * high.itemsize,
                    first + t - lane,
                    steps - t,
                    masked,
                )


@jit
def _terms(costs, pair, row, n, m, first, count, terms):
    """Put what belongs to the rows of a strip into the first LANES terms, and behind it, last column first, what
    belongs to the columns of a chunk; 0 outside."""
    nothing = terms.dtype.type(0.0)
    for lane in range(LANES):
        terms[lane] = costs.rows[pair, row + lane] * costs.scale if row + lane < n else nothing
    for k in range(count + LANES - 1):
        j = first + count - 1 - k
        terms[LANES + k] = costs.columns[pair, j] * costs.scale if 0 <= j < m else nothing


@jit
def _split(chunk, terms, steps):
    """Turn costs c into exponents and fractions of 2 ** -c; tell whether one is infinite or NaN."""
    zero, size = chunk[0], chunk.itemsize
    rows, columns = terms.ctypes.data, terms.ctypes.data + (LANES + steps - 1) * size
    found = 0
    for t in range(steps):
        found |= _split_step(zero, chunk.ctypes.data + (t + 2) * RECORD * size, rows, columns - t * size)
    return found != 0


@jit
def _forward_steps(chunk, steps):
    """Values of the steps of a chunk, in the place of their costs; record t + 2 is step t."""
    zero, record = chunk[0], RECORD * chunk.itemsize
    for t in range(steps):
        before = chunk.ctypes.data + t * record
        last, here = before + record, before + 2 * record
        if t % _SETTLE == 0:
            _settle_step(zero, before, before, before)
            _settle_step(zero, last, last, last)
        _forward_step(zero, before, last, here)


@jit
def compute_chunk(costs, pair, row, first, count, n, m, low, high, terms, chunk):
    """Values of a chunk from its costs and from what it began with, which `chunk` holds.

    Args:
        costs: Costs of all pairs.
        pair: which one.
        row: first row of the strip.
        first: column of the first row's cell in the first step.
        count: steps.
        n: rows of the pair.
        m: columns of the pair.
        low: (LANES,) of `row_bounds`.
        high: (LANES,) likewise.
        terms: (2 * LANES + CHUNK,) for this function's own use.
        chunk: ((CHUNK + 2) * RECORD,) two steps before the chunk, then its own, which are written, behind the row
            above.

    Returns:
        Whether one of the costs is infinite or NaN.
    """
    matrices = costs.matrices
    corner = matrices.begin[pair] + row * matrices.stride[pair] + first
    _skew(matrices.cells, corner, matrices.stride[pair], first, count, costs.factor, low, high, chunk)
    _terms(costs, pair, row, n, m, first, count, terms)
    nonfinite = _split(chunk, terms, count)
    _forward_steps(chunk, count)
    return nonfinite


@jit
def _first_base(border, pair, row, start, chunk):
    """Put the value diagonally above the first cell of a strip into its first record; return its base."""
    corner, fraction = 0.0 if row == 0 else MASKED_COST, 1.0
    if row > 0 and start > 0:
        corner, fraction = border[pair, start - 1]
    base = min(corner, border[pair, start, 0])
    base = base if base < 0.5 * MASKED_COST else 0.0
    chunk[0], chunk[FRACTION] = corner - base, fraction
    return base


@jit
def _renew_base(chunk, done):
    """Move the last two steps of a chunk to its front, relative to the least of the latest; return what by."""
    copy(chunk, done * RECORD, chunk, 0, 2 * RECORD)
    shift = chunk[RECORD + 1 : RECORD + FRACTION].min()
    if shift >= 0.5 * MASKED_COST:
        shift = chunk.dtype.type(0.0)
    chunk[:FRACTION] -= shift
    chunk[RECORD : RECORD + FRACTION] -= shift
    return shift


@jit
def _row_above(border, pair, first, m, base, chunk, count):
    """Put the values of the row above in front of the steps of a chunk."""
    for t in range(count):
        j, at = first + t, (t + 1) * RECORD
        chunk[at] = chunk.dtype.type((border[pair, j, 0] if j < m else MASKED_COST) - base)
        chunk[at + FRACTION] = chunk.dtype.type(border[pair, j, 1] if j < m else 1.0)


@jit
def _hand_down(border, pair, first, base, chunk, count):
    """Leave the values of the last row to the strip below."""
    for t in range(count):
        j, at = first + t - LANES + 1, (t + 2) * RECORD + LANES
        if j >= 0:
            border[pair, j, 0] = base + chunk[at]
            border[pair, j, 1] = chunk[at + FRACTION]


@jit
def _save(chunk, saved, count):
    """Keep what a chunk begins with: two steps, and the row above."""
    copy(chunk, 0, saved, 0, 2 * RECORD)
    for t in range(count):
        saved[ABOVE + t] = chunk[(t + 1) * RECORD]
        saved[ABOVE + CHUNK + t] = chunk[(t + 1) * RECORD + FRACTION]


@jit
def restore(saved, chunk, count):
    """The inverse of `_save`.

    Args:
        saved: record of the chunk.
        chunk: receives it.
        count: steps.
    """
    copy(saved, 0, chunk, 0, 2 * RECORD)
    for t in range(count):
        chunk[(t + 1) * RECORD] = saved[ABOVE + t]
        chunk[(t + 1) * RECORD + FRACTION] = saved[ABOVE + CHUNK + t]


@jit
def forward_strips(costs, geometry, queue, num_with_grad, values, saved):
    """Work on the forward pass of a batch until no strip is left; any number of threads may run this.

    Args:
        costs: Costs of all pairs.
        geometry: Geometry.
        queue: Queue.
        num_with_grad: leading pairs whose chunks are saved.
        values: (B,) float64, receives the values in units of gamma * ln 2, NaN where a cost is not finite.
        saved: (chunks, ABOVE + 2 * CHUNK), receives what each chunk of these pairs began with.
    """
    table, border = queue.table, queue.border
    number = costs.matrices.cells.dtype
    chunk = np.empty((CHUNK + 2) * RECORD, number)
    terms = np.empty(2 * LANES + CHUNK, number)
    low = np.empty(LANES, np.int64)
    high = np.empty(LANES, np.int64)
    while True:
        k = fetch_add(queue.counter, 0, 1)
        if k >= len(table):
            return
        pair, row, start, steps = table[k, PAIR], table[k, ROW], table[k, START], table[k, STEPS]
        n, m = geometry.n[pair], geometry.m[pair]
        row_bounds(geometry, pair, row, low, high)
        strip = row // LANES
        nonfinite = False
        base = 0.0
        count = 0
        for step in range(2):
            chunk[step * RECORD : step * RECORD + FRACTION] = MASKED_COST
            chunk[step * RECORD + FRACTION : (step + 1) * RECORD] = 1
        for t0 in range(0, steps, CHUNK):
            done, count = count, min(CHUNK, steps - t0)
            if strip > 0:
                while load(queue.progress, pair, strip - 1) < start + t0 + count:
                    yield_thread()
            if t0 == 0:
                base = _first_base(border, pair, row, start, chunk)
            else:
                base += _renew_base(chunk, done)
            _row_above(border, pair, start + t0, m, base, chunk, count)
            if pair < num_with_grad:
                _save(chunk, saved[table[k, CHUNKS] + t0 // CHUNK], count)
            nonfinite |= compute_chunk(costs, pair, row, start + t0, count, n, m, low, high, terms, chunk)
            _hand_down(border, pair, start + t0, base, chunk, count)
            publish(queue.progress, pair, strip, DONE if t0 + count == steps else start + t0 + count - LANES + 1)
        if nonfinite:
            values[pair] = np.nan
        elif row + LANES >= n and not np.isnan(values[pair]):
            at = (count + 1) * RECORD + n - row
            values[pair] = base + chunk[at] - math.log2(chunk[at + FRACTION])
