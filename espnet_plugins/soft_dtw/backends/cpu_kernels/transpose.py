"""Square blocks between rows and steps, and stretches of memory, as vector code."""

import numpy as np
from llvmlite import ir
from numba import types

from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import intrinsic, jit

# Side of the squares.
BLOCK = 8


@intrinsic
def transpose_block(typingctx, source, stride, target, step, factor):
    """target[i * step + j] = source[j * stride + i] * factor for i, j < BLOCK; source and target are addresses.

    Written as shuffles of short vectors, which every processor has; LLVM does not find them in the loops.
    """

    def codegen(context, builder, signature, args):
        number = context.get_value_type(factor)
        size = context.get_abi_sizeof(number)
        vector = ir.VectorType(number, BLOCK)

        def place(address, pitch, k):
            offset = builder.mul(pitch, ir.Constant(pitch.type, k * size))
            return builder.inttoptr(builder.add(address, offset), vector.as_pointer())

        scale = ir.Constant(vector, ir.Undefined)
        for k in range(BLOCK):
            scale = builder.insert_element(scale, args[4], ir.IntType(32)(k))
        rows = [builder.load(place(args[0], args[1], k), align=size) for k in range(BLOCK)]
        rows = [builder.fmul(row, scale) for row in rows]
        # Swap ever smaller squares across the diagonal.
        half = BLOCK // 2
        while half:
            upper = [j + (BLOCK - half if j & half else 0) for j in range(BLOCK)]
            lower = [j + (BLOCK if j & half else half) for j in range(BLOCK)]
            for k in range(BLOCK):
                if not k & half:
                    rows[k], rows[k + half] = (
                        builder.shuffle_vector(
                            rows[k], rows[k + half], ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), order)
                        )
                        for order in (upper, lower)
                    )
            half //= 2
        for k in range(BLOCK):
            builder.store(rows[k], place(args[2], args[3], k), align=size)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4, factor), codegen


@jit
def copy(source, first, target, at, count):
    """target[at : at + count] = source[first : first + count], as vector moves."""
    first, at = np.uint64(first), np.uint64(at)
    for k in range(np.uint64(count)):
        target[at + k] = source[first + k]
