#!/usr/bin/env bash
# pysdtw takes sequences of several lengths as packed sequences, and one expects
# an utterance's value and gradient to be the same alone and in a batch. With a
# bandwidth, on a CPU, only the value is: going forward the band is laid by the
# lengths of each pair, going back by the lengths of the longest in the batch.
# The gradient of a shorter pair then has NaN in some frames and is not the slope
# of the value in others, while the loss looks as it should. Without a bandwidth
# it is right, and so it is for a pair by itself.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet torch==2.11.0 numba==0.68.1 numpy==2.3.5
venv/bin/pip install --quiet --no-deps pysdtw==0.0.5
# The loops are the same without numba's compiler, and these are short.
NUMBA_DISABLE_JIT=1 venv/bin/python -W ignore::RuntimeWarning - <<'PY'
import sys

import pysdtw
import torch
from torch.nn.utils.rnn import pack_sequence

torch.manual_seed(0)
short = torch.randn(10, 2, dtype=torch.float64), torch.randn(10, 2, dtype=torch.float64)
long = torch.randn(20, 2, dtype=torch.float64), torch.randn(30, 2, dtype=torch.float64)


def of_last(pairs, bandwidth):
    """Value and gradient of the last pair."""
    xs = [x.clone().requires_grad_() for x, _ in pairs]
    loss = pysdtw.SoftDTW(use_cuda=False, bandwidth=bandwidth)
    values = loss(
        pack_sequence(xs, enforce_sorted=False),
        pack_sequence([y for _, y in pairs], enforce_sorted=False),
    )
    values.sum().backward()
    return values[-1].item(), xs[-1].grad


def slope(bandwidth, frame, step=1e-3):
    up, down = short[0].clone(), short[0].clone()
    up[frame, 0] += step
    down[frame, 0] -= step
    high, low = (of_last([(x, short[1])], bandwidth)[0] for x in (up, down))
    return (high - low) / (2 * step)


print("pysdtw", pysdtw.__version__, "torch", torch.__version__)
right, nan, off = True, {}, {}
for bandwidth in (None, 6, 3):
    value, gradient = of_last([short], bandwidth)
    batch_value, batch_gradient = of_last([long, short], bandwidth)
    by_steps = torch.tensor([slope(bandwidth, frame) for frame in range(10)])
    right &= abs(value - batch_value) < 1e-6 and (by_steps - gradient[:, 0]).abs().max().item() < 1e-3
    nan[bandwidth] = batch_gradient.isnan().any(dim=1).sum().item()
    off[bandwidth] = (batch_gradient - gradient).nan_to_num().abs().max().item()
    print(f"bandwidth {bandwidth}: value alone {value:.4f}, in a batch {batch_value:.4f}; gradient in a batch: "
          f"NaN in {nan[bandwidth]} of 10 frames, off by up to {off[bandwidth]:.4f} in the others")
print("values equal, gradients alone are the slopes:", right)
holds = right and nan[None] == 0 and off[None] < 1e-5 and nan[3] > 0 and nan[6] > 0 and off[6] > 0.01
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
