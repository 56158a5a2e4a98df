"""Whether frames have a large offset in common, in one call: the few operations of torch that it takes cost more."""

import numpy as np

from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import jit


@jit
def any_large_offset(sides, lengths, samples, ratio):
    """Tell whether the mean of a few frames of some pair is large beside their spread.

    Args:
        sides: x and y, (B, N, D) and (B, M, D).
        lengths: (B,) int64 of x and of y.
        samples: how many frames of each side, at even distances.
        ratio: how many times the spread, squared, the mean must be, squared.
    """
    total = np.empty(sides[0].shape[2])
    for pair in range(len(sides[0])):
        total[:] = 0
        squares = 0.0
        for side in range(2):
            frames, last = sides[side], lengths[side][pair] - 1
            for k in range(samples):
                frame = frames[pair, last * k // (samples - 1)]
                for d in range(len(frame)):
                    number = np.float64(frame[d])
                    total[d] += number
                    squares += number * number
        mean = 0.0
        for number in total:
            mean += (number / (2 * samples)) ** 2
        if mean > ratio * (squares / (2 * samples) - mean):
            return True
    return False
