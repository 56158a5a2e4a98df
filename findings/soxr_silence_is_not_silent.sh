#!/usr/bin/env bash
# One expects digital silence to stay silence when it is resampled, and audio that
# has the rate asked for already to stay as it is. For 16-bit integers neither
# holds in soxr: it adds dither, noise of one step, to whatever comes out. A fifth
# of the samples of silence become 1 or -1, and "to 16 kHz" changes a 16 kHz
# signal. The noise is the same in each call, so that it does not show when a
# program is run again. Whatever looks for exact zeros, or takes logarithms of the
# energy, sees it. With floating-point samples nothing is added: convert to those
# before resampling.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet soxr==1.1.0 numpy==2.3.5
venv/bin/python - <<'PY'
import sys

import numpy as np
import soxr

rate = 16000
silence = np.zeros(2 * rate)
tone = np.round(1000 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate))
print("soxr", soxr.__version__)
seen = {}
for dtype in ("int16", "int32", "float32", "float64"):
    low = soxr.resample(silence.astype(dtype), rate, rate // 2)
    again = soxr.resample(silence.astype(dtype), rate, rate // 2)
    same_rate = soxr.resample(tone.astype(dtype), rate, rate)
    seen[dtype] = (
        float(np.mean(low != 0)), float(np.abs(low).max()), bool(np.array_equal(low, again)),
        float(np.mean(same_rate != tone)),
    )
    loud, largest, equal, changed = seen[dtype]
    print(f"{dtype:8} silence at 8 kHz: {100 * loud:4.1f} % not zero, largest {largest:g}, same twice: {equal}; "
          f"tone from 16 to 16 kHz: {100 * changed:4.1f} % changed")
loud, largest, equal, changed = seen.pop("int16")
holds = (
    loud > 0.1 and largest == 1 and equal and changed > 0.1
    and all(values == (0, 0, True, 0) for values in seen.values())
)
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
