"""The forward pass over strips: costs to values."""

import math

import numpy as np

from espnet_plugins.soft_dtw.backends.cpu_kernels.atomics import fetch_add, load, publish, yield_thread
from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import jit
from espnet_plugins.soft_dtw.backends.cpu_kernels.numerics import exp2, log2
from espnet_plugins.soft_dtw.backends.cpu_kernels.strips import (
    CHUNK,
    CHUNKS,
    DONE,
    LANES,
    MASKED_COST,
    PAIR,
    ROW,
    START,
    STEPS,
    STORE,
    row_bounds,
)
from espnet_plugins.soft_dtw.backends.cpu_kernels.transpose import BLOCK, copy, transpose_block

# Unsigned, so that no index needs a test for counting from the end; that test would keep loops scalar.
_LANES = np.uint64(LANES)
_WIDTH = np.uint64(LANES + 1)
_ONE = np.uint64(1)


@jit
def _skew(cost, corner, columns, first, steps, scale, low, high, skewed):
    """Gather a chunk of costs so that the cells of a step lie side by side; walls outside lengths and band.

    Lane l of step t is column first + t - l of row l, that is, cost[corner + t + l * (columns - 1)]; it counts
    when low[l] <= first + t - l < high[l].
    """
    size = cost.itemsize
    masked = skewed.dtype.type(MASKED_COST)
    for lane in range(0, LANES, BLOCK):
        # The bounds rise from lane to lane, the column falls: the outermost lanes decide about a block.
        begin = low[lane + BLOCK - 1] + lane + BLOCK - 1 - first
        end = min(high[lane] + lane - first, steps) - BLOCK
        for t in range(0, steps, BLOCK):
            source = corner + t + lane * (columns - 1)
            target = t * LANES + lane
            if begin <= t and t <= end:
                transpose_block(
                    cost.ctypes.data + source * size,
                    columns - 1,
                    skewed.ctypes.data + target * size,
                    LANES,
                    scale,
                )
                continue
            for side in range(BLOCK):
                j = first + t - lane - side
                for k in range(min(BLOCK, steps - t)):
                    value = masked
                    if low[lane + side] <= j + k and j + k < high[lane + side]:
                        value = cost[source + k + side * (columns - 1)] * scale
                    skewed[target + k * LANES + side] = value


@jit
def _count_nonfinite(skewed, count):
    """How many of the first costs are infinite or NaN."""
    limit = skewed.dtype.type(math.inf)
    found = np.int32(0)
    for k in range(np.uint64(count)):
        found += np.int32(0) if abs(skewed[k]) < limit else np.int32(1)
    return found


@jit
def _forward_steps(skewed, values, steps):
    """Values of the steps of a chunk; row t + 2 of `values` is step t, behind the value of the row above."""
    one = skewed.dtype.type(1.0)
    for t in range(np.uint64(steps)):
        before = t * _WIDTH
        last = before + _WIDTH
        here = last + _WIDTH
        for lane in range(_LANES):
            up, left, diagonal = values[last + lane], values[last + lane + _ONE], values[before + lane]
            smaller, larger = min(up, left), max(up, left)
            least, middle = min(smaller, diagonal), max(smaller, diagonal)
            total = one + (exp2(least - larger) + exp2(least - middle))
            values[here + lane + _ONE] = skewed[t * _LANES + lane] + (least - log2(total))


@jit
def _first_base(border, pair, row, start):
    """The value diagonally above the first cell of a strip, and the base of its first chunk."""
    corner = 0.0 if row == 0 else MASKED_COST
    if row > 0 and start > 0:
        corner = border[pair, start - 1]
    base = min(corner, border[pair, start])
    return corner, base if base < 0.5 * MASKED_COST else 0.0


@jit
def _renew_base(chunk, done):
    """Move the last two steps of a chunk to its front, relative to the least of the latest; return what by."""
    width = LANES + 1
    copy(chunk, done * width, chunk, 0, 2 * width)
    shift = chunk[width + 1 : 2 * width].min()
    if shift >= 0.5 * MASKED_COST:
        shift = chunk.dtype.type(0.0)
    chunk[: 2 * width] -= shift
    return shift


@jit
def _row_above(border, pair, first, m, base, chunk, count):
    """Put the values of the row above in front of the steps of a chunk."""
    for t in range(count):
        j = first + t
        chunk[(t + 1) * (LANES + 1)] = chunk.dtype.type((border[pair, j] if j < m else MASKED_COST) - base)


@jit
def _hand_down(border, pair, first, base, chunk, count):
    """Leave the values of the last row to the strip below."""
    for t in range(count):
        j = first + t - LANES + 1
        if j >= 0:
            border[pair, j] = base + chunk[(t + 2) * (LANES + 1) + LANES]


@jit
def _save(chunk, steps, at, count):
    """Store the values of a chunk, each step behind the value of the row above."""
    width = LANES + 1
    copy(chunk, 2 * width, steps, at, count * width)
    for t in range(count):
        steps[at + t * width] = chunk[(t + 1) * width]


@jit
def forward_strips(costs, geometry, scale, queue, num_with_grad, values, saved):
    """Work on the forward pass of a batch until no strip is left; any number of threads may run this.

    Args:
        costs: Matrices of all pairs.
        geometry: Geometry.
        scale: what turns costs into units of gamma * ln 2, in the type of the costs.
        queue: Queue.
        num_with_grad: leading pairs whose values are saved.
        values: (B,) float64, receives the values in units of gamma * ln 2, NaN where a cost is not finite.
        saved: Saved, receives the values of all cells of these pairs.
    """
    table, border = queue.table, queue.border
    number = costs.cells.dtype.type
    width = LANES + 1
    steps_saved = saved.steps.reshape(-1)
    skewed = np.empty(CHUNK * LANES, costs.cells.dtype)
    chunk = np.empty((CHUNK + 2) * width, costs.cells.dtype)
    low = np.empty(LANES, np.int64)
    high = np.empty(LANES, np.int64)
    while True:
        k = fetch_add(queue.counter, 0, 1)
        if k >= len(table):
            return
        pair, row, start, steps = table[k, PAIR], table[k, ROW], table[k, START], table[k, STEPS]
        n, m = geometry.n[pair], geometry.m[pair]
        corner_cell = costs.begin[pair] + row * costs.stride[pair] + start
        row_bounds(geometry, pair, row, low, high)
        strip = row // LANES
        nonfinite = 0
        base = 0.0
        count = 0
        chunk[:] = MASKED_COST
        for t0 in range(0, steps, CHUNK):
            done, count = count, min(CHUNK, steps - t0)
            if strip > 0:
                while load(queue.progress, pair, strip - 1) < start + t0 + count:
                    yield_thread()
            _skew(costs.cells, corner_cell + t0, costs.stride[pair], start + t0, count, scale, low, high, skewed)
            nonfinite += _count_nonfinite(skewed, count * LANES)
            if t0 == 0:
                corner, base = _first_base(border, pair, row, start)
                shift = number(corner - base)
                chunk[0] = shift
            else:
                shift = _renew_base(chunk, done)
                base += shift
            _row_above(border, pair, start + t0, m, base, chunk, count)
            _forward_steps(skewed, chunk, count)
            _hand_down(border, pair, start + t0, base, chunk, count)
            publish(queue.progress, pair, strip, DONE if t0 + count == steps else start + t0 + count - LANES + 1)
            if pair < num_with_grad:
                saved.base[table[k, CHUNKS] + t0 // CHUNK] = shift
                _save(chunk, steps_saved, (table[k, STORE] + t0) * width, count)
        if nonfinite:
            values[pair] = np.nan
        elif row + LANES >= n and not np.isnan(values[pair]):
            values[pair] = base + chunk[(count + 1) * width + n - row]
