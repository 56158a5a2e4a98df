"""What threads tell one another: a counter that is drawn from, and numbers that one publishes and others wait for."""

from numba import types
from numba.core import cgutils

from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import intrinsic


def _pointer(context, builder, signature, args):
    array = context.make_array(signature.args[0])(context, builder, args[0])
    indices = args[1 : 1 + signature.args[0].ndim]
    return cgutils.get_item_pointer(context, builder, signature.args[0], array, indices)


@intrinsic
def fetch_add(typingctx, array, index, value):
    """Add to an int64 of an array and return what it was, as one step for all threads."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", _pointer(context, builder, signature, args), args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@intrinsic
def load(typingctx, array, row, column):
    """Read an int64 that another thread publishes; what it wrote before is visible after."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(_pointer(context, builder, signature, args), "acquire", 8)

    return types.int64(array, types.intp, types.intp), codegen


@intrinsic
def publish(typingctx, array, row, column, value):
    """Write an int64 for other threads, after everything written before it."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[3], _pointer(context, builder, signature, args), "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.int64), codegen


yield_thread = types.ExternalFunction("sched_yield", types.int32())
