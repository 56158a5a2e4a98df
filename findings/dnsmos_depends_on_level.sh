#!/usr/bin/env bash
# One expects two copies of a recording that differ in volume alone to get one
# score, or at least all scores of one tool to treat volume alike. Of the four
# numbers of speechmos's DNSMOS, P.808 takes its spectrogram relative to the
# loudest point, so that volume is divided out; SIG, BAK and OVRL see the samples
# as they are, and move by tenths up to more than a whole point, not even in one
# direction. An enhancement model that merely turns the volume down (one trained
# for SI-SDR is free to) can so look better or worse: bring reference, noisy and
# enhanced speech to one level before comparing them.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet speechmos==0.0.1.1 onnxruntime==1.32.0 librosa==0.11.0 \
    numpy==2.3.5 requests==2.34.2
venv/bin/python - <<'PY'
import importlib.metadata
import sys

import numpy as np
from speechmos import dnsmos

rate = 16000
rng = np.random.default_rng(0)
t = np.arange(10 * rate) / rate
signal = 0.1 * np.sin(2 * np.pi * 150 * t) * (np.sin(2 * np.pi * 2 * t) > 0)
signal += 0.001 * rng.standard_normal(t.size)

names = ("sig_mos", "bak_mos", "ovrl_mos", "p808_mos")
print("speechmos", importlib.metadata.version("speechmos"))
scores = {gain: dnsmos.run(gain * signal, rate) for gain in (1.0, 0.5, 0.1)}
for gain, score in scores.items():
    print(f"volume times {gain}:", *(f"{name} {score[name]:.3f}" for name in names))
spread = {
    name: float(max(s[name] for s in scores.values()) - min(s[name] for s in scores.values()))
    for name in names
}
print("spread:", *(f"{name} {value:.4f}" for name, value in spread.items()))
holds = spread["p808_mos"] < 0.01 and spread["bak_mos"] > 0.5 and spread["ovrl_mos"] > 0.1
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
