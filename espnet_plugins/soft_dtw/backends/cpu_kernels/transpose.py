"""Square blocks between rows and steps, and stretches of memory."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import intrinsic, jit

# Side of the squares.
BLOCK = 8


class _Blocks:
    """Moves of squares as shuffles of short vectors, which every processor has; LLVM does not find them in loops."""

    def __init__(self, context: Any, builder: Any, kind: Any) -> None:
        self.builder, self.number = builder, context.get_value_type(kind)
        self.size = context.get_abi_sizeof(self.number)
        self.vector = ir.VectorType(self.number, BLOCK)

    def place(self, address: Any, pitch: Any, k: int) -> Any:
        """Where row k begins, for a pitch in numbers."""
        offset = self.builder.mul(pitch, ir.Constant(pitch.type, k * self.size))
        return self.builder.inttoptr(self.builder.add(address, offset), self.vector.as_pointer())

    def load(self, place: Any) -> Any:
        return self.builder.load(place, align=self.size)

    def store(self, row: Any, place: Any) -> None:
        self.builder.store(row, place, align=self.size)

    def repeated(self, number: Any) -> Any:
        vector = ir.Constant(ir.VectorType(number.type, BLOCK), ir.Undefined)
        for k in range(BLOCK):
            vector = self.builder.insert_element(vector, number, ir.IntType(32)(k))
        return vector

    def transposed(self, rows: list) -> list:
        """Swap ever smaller squares across the diagonal."""
        rows = list(rows)
        half = BLOCK // 2
        while half:
            upper = [j + (BLOCK - half if j & half else 0) for j in range(BLOCK)]
            lower = [j + (BLOCK if j & half else half) for j in range(BLOCK)]
            for k in range(BLOCK):
                if not k & half:
                    rows[k], rows[k + half] = (
                        self.builder.shuffle_vector(
                            rows[k], rows[k + half], ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), order)
                        )
                        for order in (upper, lower)
                    )
            half //= 2
        return rows

    def inside(self, low: Any, high: Any, column: Any, limit: Any) -> list:
        """Which numbers of each row count: those of columns low[k] to high[k], of the first `limit`.

        `column` is that of the first number of row 0; each further row begins a column earlier.
        """
        builder, masks = self.builder, []
        kind = ir.IntType(64)
        order = ir.Constant(ir.VectorType(kind, BLOCK), list(range(BLOCK)))
        for k in range(BLOCK):
            first, last = (
                builder.add(
                    builder.sub(
                        builder.load(builder.inttoptr(builder.add(bound, kind(8 * k)), kind.as_pointer())), column
                    ),
                    kind(k),
                )
                for bound in (low, high)
            )
            last = builder.select(builder.icmp_signed("<", last, limit), last, limit)
            masks.append(
                builder.and_(
                    builder.icmp_signed(">=", order, self.repeated(first)),
                    builder.icmp_signed("<", order, self.repeated(last)),
                )
            )
        return masks

    def load_some(self, place: Any, mask: Any) -> Any:
        """Numbers where the mask holds, 0 elsewhere, where nothing is read."""
        kind = ir.FunctionType(self.vector, [place.type, ir.IntType(32), mask.type, self.vector])
        name = f"llvm.masked.load.v{BLOCK}f{8 * self.size}.p0"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        zeros = ir.Constant(self.vector, [0.0] * BLOCK)
        return self.builder.call(function, [place, ir.IntType(32)(self.size), mask, zeros])

    def store_some(self, row: Any, place: Any, mask: Any) -> None:
        """Write numbers where the mask holds."""
        kind = ir.FunctionType(ir.VoidType(), [self.vector, place.type, ir.IntType(32), mask.type])
        name = f"llvm.masked.store.v{BLOCK}f{8 * self.size}.p0"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        self.builder.call(function, [row, place, ir.IntType(32)(self.size), mask])


@intrinsic
def transpose_block(typingctx, source, stride, target, step, factor):
    """target[i * step + j] = source[j * stride + i] * factor for i, j < BLOCK; source and target are addresses."""

    def codegen(context, builder, signature, args):
        blocks = _Blocks(context, builder, factor)
        scale = blocks.repeated(args[4])
        rows = [builder.fmul(blocks.load(blocks.place(args[0], args[1], k)), scale) for k in range(BLOCK)]
        for k, row in enumerate(blocks.transposed(rows)):
            blocks.store(row, blocks.place(args[2], args[3], k))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4, factor), codegen


@intrinsic
def transpose_inside(typingctx, source, stride, target, step, factor, low, high, column, limit, outside):
    """`transpose_block` for rows of a matrix as source, of which only columns low[j] to high[j] count.

    low and high are addresses; `column` is that of the first number of the first row, and each further row begins a
    column earlier; from number `limit` on nothing counts. What does not count is not read, and is `outside`.
    """

    def codegen(context, builder, signature, args):
        blocks = _Blocks(context, builder, factor)
        scale, walls = blocks.repeated(args[4]), blocks.repeated(args[9])
        rows = []
        for k, mask in enumerate(blocks.inside(*args[5:9])):
            row = builder.fmul(blocks.load_some(blocks.place(args[0], args[1], k), mask), scale)
            rows.append(builder.select(mask, row, walls))
        for k, row in enumerate(blocks.transposed(rows)):
            blocks.store(row, blocks.place(args[2], args[3], k))
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4, factor, *(types.int64,) * 4, outside), codegen


@intrinsic
def transpose_back_inside(typingctx, source, stride, target, step, factor, low, high, column, limit):
    """`transpose_block` with rows of a matrix as target; what counts is as in `transpose_inside`, and alone written."""

    def codegen(context, builder, signature, args):
        blocks = _Blocks(context, builder, factor)
        scale = blocks.repeated(args[4])
        rows = [builder.fmul(blocks.load(blocks.place(args[0], args[1], k)), scale) for k in range(BLOCK)]
        masks = blocks.inside(*args[5:9])
        for k, (row, mask) in enumerate(zip(blocks.transposed(rows), masks, strict=True)):
            blocks.store_some(row, blocks.place(args[2], args[3], k), mask)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4, factor, *(types.int64,) * 4), codegen


@jit
def copy(source, first, target, at, count):
    """target[at : at + count] = source[first : first + count], as vector moves."""
    first, at = np.uint64(first), np.uint64(at)
    for k in range(np.uint64(count)):
        target[at + k] = source[first + k]
