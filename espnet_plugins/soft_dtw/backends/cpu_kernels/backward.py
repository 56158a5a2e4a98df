"""The backward pass over strips: how much of the mass of all paths visits each cell."""

import numpy as np

from espnet_plugins.soft_dtw.backends.cpu_kernels.atomics import fetch_add, load, publish, yield_thread
from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import jit
from espnet_plugins.soft_dtw.backends.cpu_kernels.numerics import exp2
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

# Occupancies below this are dropped: they are beyond rounding, and denormal numbers would slow the pass down.
UNDERFLOW = 2.0**-60

# The backward pass keeps four numbers a cell in one array, step by step: what it hands up, left and diagonally
# (each with a place for what comes from the strip below) and its own occupancy. One array, because distances
# inside it are constants, so that LLVM need not guard the vector code against overlap.
LEFT, DIAGONAL, VISIT, FLOWS = (k * (LANES + 1) for k in (1, 2, 3, 4))

# Unsigned, so that no index needs a test for counting from the end; that test would keep loops scalar.
_LANES = np.uint64(LANES)
_WIDTH = np.uint64(LANES + 1)
_ONE = np.uint64(1)
_LEFT, _DIAGONAL, _VISIT, _FLOWS = (np.uint64(k) for k in (LEFT, DIAGONAL, VISIT, FLOWS))


@jit
def _load_values(values, stored, base, first, chunks, t0, count):
    """Bring the values of a chunk, and of the two steps before it, to one base, the row above in front."""
    width = LANES + 1
    shift = base[chunks + t0 // CHUNK]
    at = (first + t0) * width
    copy(stored, at, values, 2 * width, count * width)
    if t0 == 0:
        values[: 2 * width] = MASKED_COST
        values[0] = shift
    else:
        values[: 2 * width] = stored[at - 2 * width : at] - shift
        values[0] = values[width]
    for t in range(count):
        values[(t + 1) * width] = stored[at + t * width]


@jit
def _shares(values, flows, steps):
    """How each cell of a chunk divides its mass among its three predecessors."""
    one = values.dtype.type(1.0)
    for t in range(np.uint64(steps)):
        before = t * _WIDTH
        last = before + _WIDTH
        here = t * _FLOWS
        for lane in range(_LANES):
            up, left, diagonal = values[last + lane], values[last + lane + _ONE], values[before + lane]
            smaller, larger = min(up, left), max(up, left)
            least, middle = min(smaller, diagonal), max(smaller, diagonal)
            far, near = exp2(least - larger), exp2(least - middle)
            share = one / (one + (far + near))
            beside = share if smaller <= diagonal else near * share
            flows[here + lane] = beside if up <= left else far * share
            flows[here + _LEFT + lane] = far * share if up <= left else beside
            flows[here + _DIAGONAL + lane] = near * share if smaller <= diagonal else share


@jit
def _backward_steps(flows, steps):
    """Occupancies of the steps of a chunk, latest first; shares become what is handed to each predecessor."""
    nothing = flows.dtype.type(0.0)
    underflow = flows.dtype.type(UNDERFLOW)
    for back in range(np.uint64(steps)):
        t = np.uint64(steps) - _ONE - back
        here = t * _FLOWS
        after = here + _FLOWS
        corner = after + _FLOWS
        for lane in range(_LANES):
            mass = flows[after + _LEFT + lane] + flows[after + lane + _ONE] + flows[corner + _DIAGONAL + lane + _ONE]
            mass = mass if mass > underflow else nothing
            flows[here + _VISIT + lane] = mass
            flows[here + lane] *= mass
            flows[here + _LEFT + lane] *= mass
            flows[here + _DIAGONAL + lane] *= mass


@jit
def _unskew(flows, corner, columns, first, steps, factor, low, high, alignment):
    """Put the occupancies of a chunk back in rows; the mirror of `_skew`."""
    size = flows.itemsize
    for lane in range(0, LANES, BLOCK):
        begin = low[lane + BLOCK - 1] + lane + BLOCK - 1 - first
        end = min(high[lane] + lane - first, steps) - BLOCK
        for t in range(0, steps, BLOCK):
            source = t * FLOWS + VISIT + lane
            target = corner + t + lane * (columns - 1)
            if begin <= t and t <= end:
                transpose_block(
                    flows.ctypes.data + source * size,
                    FLOWS,
                    alignment.ctypes.data + target * size,
                    columns - 1,
                    factor,
                )
                continue
            for side in range(BLOCK):
                j = first + t - lane - side
                for k in range(max(0, low[lane + side] - j), min(BLOCK, steps - t, high[lane + side] - j)):
                    alignment[target + k + side * (columns - 1)] = flows[source + k * FLOWS + side] * factor


@jit
def _from_below(border, pair, first, flows, count, final):
    """Take what the strip below hands up; nothing below the last one."""
    for t in range(count):
        j = first + t - LANES + 1
        flows[(t + 1) * FLOWS + LANES] = border[pair, j] if j >= 0 and not final else 0


@jit
def _hand_up(border, pair, first, m, flows, count):
    """Leave what flows up from the first row to the strip above."""
    for t in range(count):
        if first + t < m:
            border[pair, first + t] = flows[t * FLOWS] + flows[(t + 1) * FLOWS + DIAGONAL]


@jit
def _clear_outside(alignment, pair, row, n, low, high):
    """Write 0 beyond band and lengths, in the rows of a strip and, behind the last one, below them."""
    begin, stride = alignment.begin[pair], alignment.stride[pair]
    for lane in range(min(LANES, n - row)):
        at = begin + (row + lane) * stride
        alignment.cells[at : at + low[lane]] = 0
        alignment.cells[at + high[lane] : at + stride] = 0
    if row + LANES >= n:
        alignment.cells[begin + n * stride : alignment.begin[pair + 1]] = 0


@jit
def backward_strips(alignment, geometry, factor, queue, saved):
    """Work on the backward pass until no strip is left; the mirror of `forward_strips`.

    Args:
        alignment: Matrices, uninitialized; every cell of the pairs in the queue is written, 0 beyond the lengths.
        geometry: Geometry.
        factor: (B,) what each alignment is multiplied by.
        queue: Queue; its table holds the strips of the pairs with a gradient alone.
        saved: Saved, as written by `forward_strips`.
    """
    table, border = queue.table, queue.border
    width = LANES + 1
    steps_saved = saved.steps.reshape(-1)
    values = np.empty((CHUNK + 2) * width, saved.steps.dtype)
    flows = np.empty((CHUNK + 2) * FLOWS, saved.steps.dtype)
    low = np.empty(LANES, np.int64)
    high = np.empty(LANES, np.int64)
    while True:
        k = len(table) - 1 - fetch_add(queue.counter, 0, 1)
        if k < 0:
            return
        pair, row, start, steps = table[k, PAIR], table[k, ROW], table[k, START], table[k, STEPS]
        n, m = geometry.n[pair], geometry.m[pair]
        corner_cell = alignment.begin[pair] + row * alignment.stride[pair] + start
        row_bounds(geometry, pair, row, low, high)
        strip = row // LANES
        final = row + LANES >= n
        flows[:] = 0
        for t0 in range((steps - 1) // CHUNK * CHUNK, -1, -CHUNK):
            count = min(CHUNK, steps - t0)
            copy(flows, 0, flows, count * FLOWS, 2 * FLOWS)
            if final and t0 + count == steps:
                flows[count * FLOWS + LEFT + n - 1 - row] = 1
            _load_values(values, steps_saved, saved.base, table[k, STORE], table[k, CHUNKS], t0, count)
            _shares(values, flows, count)
            if not final:
                while load(queue.progress, pair, strip + 1) > start + t0 - LANES + 1:
                    yield_thread()
            _from_below(border, pair, start + t0, flows, count, final)
            _backward_steps(flows, count)
            _hand_up(border, pair, start + t0, m, flows, count)
            if t0 == 0 and start > 0:
                border[pair, start - 1] = flows[DIAGONAL]
            publish(queue.progress, pair, strip, -DONE if t0 == 0 else start + t0)
            _unskew(
                flows,
                corner_cell + t0,
                alignment.stride[pair],
                start + t0,
                count,
                factor[pair],
                low,
                high,
                alignment.cells,
            )
        _clear_outside(alignment, pair, row, n, low, high)
