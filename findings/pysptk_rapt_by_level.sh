#!/usr/bin/env bash
# One expects a pitch tracker not to mind in which unit samples come, as pysptk's swipe
# does not. Its rapt, the C code of which was made for 16-bit integers, asks for float32
# without a word about the range: of samples between -1 and 1, as soundfile, librosa and
# torchaudio read them, it calls every frame unvoiced, with no error. In the range of
# integers it is right, but quiet speech fades out: at peaks of 400 (-38 dB) a frame in
# twenty-five goes missing, at 130 (-48 dB) half of the voiced frames, at 13 all. Voicing
# and F0 errors of enhanced speech then measure its volume. Multiply by 32768, and bring
# the two of a pair to one level before.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet pysptk==1.0.1 setuptools==75.8.0 numpy==2.2.6 scipy==1.15.3
venv/bin/python -W ignore - <<'PY'
import numpy as np
import pysptk

SAMPLE_RATE, HOP = 16000, 80
rng = np.random.default_rng(0)
time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * time)
phase = np.cumsum(pitch) / SAMPLE_RATE
voice = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 25))
speech = voice * np.clip(np.sin(2 * np.pi * time), 0, None) ** 0.5
speech = speech / np.abs(speech).max() + 1e-3 * rng.standard_normal(len(time))
found = {}
for peak in (1, 13, 130, 400, 1300, 4000, 13000, 32000):
    samples = peak * speech
    by_rapt = pysptk.rapt(samples.astype(np.float32), SAMPLE_RATE, HOP) > 0
    by_swipe = pysptk.swipe(samples.astype(np.float64), SAMPLE_RATE, HOP) > 0
    found[peak] = by_rapt.sum(), by_swipe.sum()
    print(f"peak {peak:5}: voiced of {len(by_rapt)} frames by rapt {found[peak][0]}, by swipe {found[peak][1]}")
rapt, swipe = ({peak: pair[which] for peak, pair in found.items()} for which in (0, 1))
assert rapt[1] == rapt[13] == 0 and rapt[130] < 0.6 * rapt[32000] and rapt[400] < 0.98 * rapt[32000]
assert rapt[32000] > 380 and min(swipe.values()) > 0.95 * max(swipe.values())
PY
