"""The backward pass over strips: how much of the mass of all paths visits each cell."""

import numpy as np

from espnet_plugins.soft_dtw.backends.cpu_kernels.atomics import fetch_add, load, publish, yield_thread
from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import jit
from espnet_plugins.soft_dtw.backends.cpu_kernels.forward import compute_chunk, restore, weigh
from espnet_plugins.soft_dtw.backends.cpu_kernels.strips import (
    CHUNK,
    CHUNKS,
    DONE,
    LANES,
    PAIR,
    RECORD,
    ROW,
    START,
    STEPS,
    row_bounds,
)
from espnet_plugins.soft_dtw.backends.cpu_kernels.transpose import BLOCK, copy, transpose_back_inside, transpose_block
from espnet_plugins.soft_dtw.backends.cpu_kernels.vectors import SIZE, Memory, on_vectors

# Occupancies below this are dropped, in float32 and float64: they are beyond rounding, also all of them together.
UNDERFLOW = 2.0**-40, 2.0**-70

# The backward pass keeps four numbers a cell in one array, step by step: what it hands up, left and diagonally
# (each with a place for what comes from the strip below) and its own occupancy.
LEFT, DIAGONAL, VISIT, FLOWS = (k * (LANES + 1) for k in (1, 2, 3, 4))

# What is known of each row of a strip: the sum of its occupancies in a chunk, the first and the last step with one
# that is not 0, and the step that is being done.
FIRST, LAST, NOW, KNOWN = (k * LANES for k in (1, 2, 3, 4))


@on_vectors
def _share_step(before: Memory, last: Memory, flows: Memory):
    """How each cell of a step divides its mass among its three predecessors."""
    for lane in range(0, LANES, SIZE):
        _, (up, left, diagonal) = weigh(before, last, lane)
        share = 1.0 / (up + left + diagonal)
        flows[lane], flows[LEFT + lane], flows[DIAGONAL + lane] = up * share, left * share, diagonal * share


@on_vectors
def _backward_step(step: Memory, after: Memory, known: Memory):
    """Occupancies of a step, and what is known of the rows; shares become what is handed to each predecessor."""
    for lane in range(0, LANES, SIZE):
        mass = after[LEFT + lane] + after[lane + 1] + after[FLOWS + DIAGONAL + lane + 1]
        mass = mass.above_or(UNDERFLOW[mass.is_double], 0.0)
        step[VISIT + lane] = mass
        known[lane] = known[lane] + mass
        now = known[NOW + lane] - 1.0
        known[NOW + lane] = now
        known[FIRST + lane] = mass.choose_above(0.0, now, known[FIRST + lane])
        known[LAST + lane] = known[LAST + lane].maximum(mass.choose_above(0.0, now, -1.0))
        for way in (0, LEFT, DIAGONAL):
            step[way + lane] = step[way + lane] * mass


@jit
def _shares(chunk, flows, steps):
    """How each cell of a chunk divides its mass among its three predecessors."""
    zero, record, flow = chunk[0], RECORD * chunk.itemsize, FLOWS * chunk.itemsize
    for t in range(steps):
        before = chunk.ctypes.data + t * record
        _share_step(zero, before, before + record, flows.ctypes.data + t * flow)


@jit
def _backward_steps(flows, t0, steps, sums, known):
    """Occupancies of the steps of a chunk, latest first; shares become what is handed to each predecessor."""
    zero, flow = flows[0], FLOWS * flows.itemsize
    known[:LANES] = 0
    known[NOW:] = t0 + steps
    for t in range(steps - 1, -1, -1):
        here = flows.ctypes.data + t * flow
        _backward_step(zero, here, here + flow, known.ctypes.data)
    sums += known[:LANES]


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
            else:
                transpose_back_inside(
                    flows.ctypes.data + source * size,
                    FLOWS,
                    alignment.ctypes.data + target * size,
                    columns - 1,
                    factor,
                    low.ctypes.data + lane * low.itemsize,
                    high.ctypes.data + lane * high.itemsize,
                    first + t - lane,
                    steps - t,
                )


@jit
def _clear(corner, columns, first, steps, low, high, alignment):
    """What `_unskew` does to steps that no path visits."""
    for lane in range(LANES):
        begin, end = max(low[lane] + lane - first, 0), min(high[lane] + lane - first, steps)
        if begin < end:
            at = corner + lane * (columns - 1)
            alignment[at + begin : at + end] = 0


@jit
def _from_below(border, pair, first, flows, count):
    """Take what the strip below hands up; tell whether that is anything."""
    found = False
    for t in range(count):
        j = first + t - LANES + 1
        flow = border[pair, j, 0] if j >= 0 else 0
        found |= flow != 0
        flows[(t + 1) * FLOWS + LANES] = flow
    return found


@jit
def _any_mass(flows):
    """Tell whether anything flows out of the first two steps of a chunk."""
    found = False
    for k in range(LANES):
        found |= flows[VISIT + k] != 0 or flows[FLOWS + VISIT + k] != 0
    return found


@jit
def _hand_up(border, pair, first, m, flows, count):
    """Leave what flows up from the first row to the strip above."""
    for t in range(count):
        if first + t < m:
            border[pair, first + t, 0] = flows[t * FLOWS] + flows[(t + 1) * FLOWS + DIAGONAL]


@jit
def _clear_beside(alignment, corner, columns, low, high, first, last):
    """Write 0 between two columns in the rows of a strip, except from low to high."""
    for lane in range(len(low)):
        at = corner + lane * columns
        if first < low[lane]:
            alignment[at + first : at + min(low[lane], last)] = 0
        if high[lane] < last:
            alignment[at + max(high[lane], first) : at + last] = 0


@jit
def backward_strips(alignment, costs, geometry, factor, queue, saved, dense, sums, bounds, spans):
    """Work on the backward pass until no strip is left; the mirror of `forward_strips`.

    Args:
        alignment: Matrices, uninitialized.
        costs: Costs, as given to `forward_strips`.
        geometry: Geometry.
        factor: (B,) what each alignment is multiplied by.
        queue: Queue; its table holds the strips of the pairs with a gradient alone.
        saved: as written by `forward_strips`.
        dense: whether every cell of the alignments is written, 0 beyond the lengths; if not, those within `spans`.
        sums: (B, longest n) receives the sum of each row.
        bounds: (B, longest n, 2) receives the first column of each row that is not zero, and the one after the last.
        spans: (strips, 2) receives the same for all rows of each strip of the table.
    """
    table, border = queue.table, queue.border
    number = saved.dtype
    chunk = np.empty((CHUNK + 2) * RECORD, number)
    terms = np.empty(2 * LANES + CHUNK, number)
    flows = np.empty((CHUNK + 2) * FLOWS, number)
    own_sums = np.empty(LANES, number)
    known = np.empty(KNOWN, number)
    low = np.empty(LANES, np.int64)
    high = np.empty(LANES, np.int64)
    while True:
        k = len(table) - 1 - fetch_add(queue.counter, 0, 1)
        if k < 0:
            return
        pair, row, start, steps = table[k, PAIR], table[k, ROW], table[k, START], table[k, STEPS]
        n, m = geometry.n[pair], geometry.m[pair]
        rows = min(LANES, n - row)
        columns = alignment.stride[pair]
        corner = alignment.begin[pair] + row * columns + start
        row_bounds(geometry, pair, row, low, high)
        strip = row // LANES
        final = row + LANES >= n
        flows[:] = 0
        all_zero = True
        own_sums[:] = 0
        known[FIRST:LAST], known[LAST:NOW] = steps, -1
        # The steps that paths go through.
        visited_from, visited_to = steps, steps
        for t0 in range((steps - 1) // CHUNK * CHUNK, -1, -CHUNK):
            count = min(CHUNK, steps - t0)
            first = start + t0
            visited = _any_mass(flows)
            copy(flows, 0, flows, count * FLOWS, 2 * FLOWS)
            if final and t0 + count == steps:
                flows[count * FLOWS + LEFT + n - 1 - row] = 1
                visited = True
            if not final:
                while load(queue.progress, pair, strip + 1) > first - LANES + 1:
                    yield_thread()
                visited |= _from_below(border, pair, first, flows, count)
            if visited:
                restore(saved[table[k, CHUNKS] + t0 // CHUNK], chunk, count)
                compute_chunk(costs, pair, row, first, count, n, m, low, high, terms, chunk)
                _shares(chunk, flows, count)
                _backward_steps(flows, t0, count, own_sums, known)
            elif not all_zero:
                flows[:] = 0
            all_zero = not visited
            _hand_up(border, pair, first, m, flows, count)
            if t0 == 0 and start > 0:
                border[pair, start - 1, 0] = flows[DIAGONAL]
            publish(queue.progress, pair, strip, -DONE if t0 == 0 else first)
            if visited:
                _unskew(flows, corner + t0, columns, first, count, factor[pair], low, high, alignment.cells)
                if visited_from == steps:
                    visited_to = visited_from = t0 + count
                end = t0 + count
                _clear(corner + end, columns, start + end, visited_from - end, low, high, alignment.cells)
                visited_from = t0
        sums[pair, row : row + rows] = own_sums[:rows] * factor[pair]
        for lane in range(LANES):
            # From here on, the columns that have been written.
            low[lane] = max(low[lane], start + visited_from - lane)
            high[lane] = max(low[lane], min(high[lane], start + visited_to - lane))
        at = corner - start
        spans[k] = 0, columns
        if not dense:
            first, last = columns, 0
            for lane in range(rows):
                own = bounds[pair, row + lane]
                if known[LAST + lane] >= 0:
                    own[0], own[1] = start + known[FIRST + lane] - lane, start + known[LAST + lane] - lane + 1
                    first, last = min(first, own[0]), max(last, own[1])
            spans[k] = min(first, last), last
        _clear_beside(alignment.cells, at, columns, low[:rows], high[:rows], spans[k, 0], spans[k, 1])
        if dense and final:
            alignment.cells[alignment.begin[pair] + n * columns : alignment.begin[pair + 1]] = 0


@jit
def join_spans(alignment, geometry, table, spans, rows):
    """Make the spans of neighboring strips one, and write 0 where they became wider.

    Args:
        alignment: Matrices, as left by `backward_strips`.
        geometry: Geometry.
        table: the strips.
        spans: theirs.
        rows: how many rows, a multiple of LANES, get one span.

    Returns:
        (groups, 5) int64: pair, first row, the one after the last, first column, the one after the last.
    """
    pairs, per_pair = table[:, PAIR].max() + 1, (geometry.n.max() + rows - 1) // rows
    joined = np.zeros((pairs * per_pair, 5), np.int64)
    for k in range(len(table)):
        pair, row = table[k, PAIR], table[k, ROW]
        group = joined[pair * per_pair + row // rows]
        if group[2] == 0:
            group[:] = (
                pair,
                row // rows * rows,
                min(row // rows * rows + rows, geometry.n[pair]),
                spans[k, 0],
                spans[k, 1],
            )
        elif group[3] == group[4]:
            group[3:] = spans[k]
        elif spans[k, 0] < spans[k, 1]:
            group[3], group[4] = min(group[3], spans[k, 0]), max(group[4], spans[k, 1])
    for k in range(len(table)):
        pair, row = table[k, PAIR], table[k, ROW]
        group = joined[pair * per_pair + row // rows]
        own = min(LANES, geometry.n[pair] - row)
        low, high = np.full(own, spans[k, 0]), np.full(own, spans[k, 1])
        columns = alignment.stride[pair]
        corner = alignment.begin[pair] + row * columns
        _clear_beside(alignment.cells, corner, columns, low, high, group[3], group[4])
    return joined[joined[:, 3] < joined[:, 4]]
