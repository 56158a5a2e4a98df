#!/usr/bin/env bash
# One expects an intelligibility score to be a function of its two signals.
# pystoi's ESTOI adds noise of the size of the machine epsilon before it
# normalizes spectra. Where the estimate is exactly zero for a while, as after a
# mask or a lost packet, that noise is all there is: normalizing blows it up to
# full size, and the score differs from call to call in the third decimal. The
# noise comes from numpy's global generator, so that scoring also moves the
# random state of the program around it. Plain STOI does neither. Whoever
# compares ESTOI between two runs has to seed numpy before every utterance.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet pystoi==0.4.1 numpy==2.3.5 scipy==1.17.1
venv/bin/python - <<'PY'
import importlib.metadata
import sys

import numpy as np
from pystoi import stoi

rng = np.random.default_rng(0)
rate = 16000
t = np.arange(3 * rate) / rate
reference = 0.2 * np.sin(2 * np.pi * 220 * t) * (1 + np.sin(2 * np.pi * 3 * t))
reference += 0.1 * rng.standard_normal(t.size) * (1 + np.sin(2 * np.pi * 2 * t))
estimate = reference.copy()
estimate[rate : 2 * rate] = 0.0

print("pystoi", importlib.metadata.version("pystoi"))
spread = {}
for name, extended in (("STOI", False), ("ESTOI", True)):
    scores = [float(stoi(reference, estimate, rate, extended=extended)) for _ in range(5)]
    spread[name] = max(scores) - min(scores)
    print(name, "of one pair, five times:", *(f"{score:.6f}" for score in scores))

np.random.seed(0)
untouched = np.random.rand()
np.random.seed(0)
stoi(reference, estimate, rate, extended=True)
moved = np.random.rand() != untouched
np.random.seed(1)
first = stoi(reference, estimate, rate, extended=True)
np.random.seed(1)
seeded = first == stoi(reference, estimate, rate, extended=True)
print("global random state moved by scoring:", moved)
print("same score from the same seed:", seeded)
holds = spread["STOI"] == 0 and spread["ESTOI"] > 1e-4 and moved and seeded
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
