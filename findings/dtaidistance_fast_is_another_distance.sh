#!/usr/bin/env bash
# dtaidistance has DTW twice, distance in Python and distance_fast in C, "same but
# with different defaults": the fast one prunes, never looking at paths dearer than
# the Euclidean distance. One expects the same numbers. They differ in three ways.
# (1) The bound is a root, squared again: where going straight is the best path, as
# with two takes that are nearly equal, rounding puts it above its own bound, and
# the distance is inf: of 200 series and copies 0.1 % off, 66 are infinitely far
# apart, and something else becomes the nearest neighbor. (2) The bound knows no
# penalty: with one, all 200 pairs of unlike length are inf here. (3) With
# inner_dist="euclidean" C squares the penalty and Python does not: 10 costs 100.
# use_pruning=False mends the first two; for the third pass the root of the penalty.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet dtaidistance==2.5.1 numpy==2.4.6
venv/bin/python - <<'PY'
import math

import numpy as np
from dtaidistance import dtw


def pitch(frames, take):
    """A sentence's pitch track in Hz."""
    time = np.linspace(0, 1, frames)
    noise = np.random.default_rng(take).standard_normal(frames)
    return 120 + 20 * np.sin(3 * np.pi * time) + 10 * time + 5 * noise


def infinite(pairs, **options):
    """How many pairs are at an infinite distance, with pruning and without."""
    return [
        sum(math.isinf(dtw.distance_fast(x, y, use_pruning=pruning, **options)) for x, y in pairs)
        for pruning in (True, False)
    ]


copies = []
for seed in range(200):
    rng = np.random.default_rng(seed)
    series = rng.standard_normal(100)
    copies.append((series, series + 0.001 * rng.standard_normal(100)))
takes = [(pitch(100, 2 * take), pitch(110, 2 * take + 1)) for take in range(200)]
nearly_equal = infinite(copies)
free = infinite(takes)
penalized = infinite(takes, penalty=50)
print("infinite with pruning (the default of distance_fast) and without, of 200:")
print("  nearly equal", nearly_equal)
print("  takes of 100 and 110 frames", free, "with penalty 50", penalized)
assert nearly_equal[0] > 20 and nearly_equal[1] == 0
assert free == [0, 0] and penalized[0] > 150 and penalized[1] == 0

query, copy = next(pair for pair in copies if math.isinf(dtw.distance_fast(*pair)))
other = copies[-1][0]
print(f"of one: to its copy {dtw.distance_fast(query, copy):.4f}, in Python {dtw.distance(query, copy):.4f}; "
      f"to another series {dtw.distance_fast(query, other):.4f}, in Python {dtw.distance(query, other):.4f}")
assert dtw.distance(query, copy) < 0.1 < 1 < dtw.distance(query, other)
assert math.isclose(dtw.distance_fast(query, other), dtw.distance(query, other))
assert math.isinf(dtw.distance(query, copy, use_pruning=True))

x, y = pitch(30, 0), pitch(35, 1)
for inner, penalty in (("squared euclidean", 10), ("euclidean", 1), ("euclidean", 10)):
    python = dtw.distance(x, y, inner_dist=inner, penalty=penalty)
    fast, of_root = (
        dtw.distance_fast(x, y, inner_dist=inner, penalty=value, use_pruning=False)
        for value in (penalty, math.sqrt(penalty))
    )
    print(f"inner distance {inner}, penalty {penalty}: Python {python:.2f}, C without pruning {fast:.2f}")
    if (inner, penalty) == ("euclidean", 10):
        assert fast > python + 100 and math.isclose(of_root, python)
    else:
        assert math.isclose(fast, python)
PY
