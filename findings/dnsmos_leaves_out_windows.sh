#!/usr/bin/env bash
# One expects a DNSMOS score to be of the whole recording. speechmos slides a
# window of 9.01 s by one second, and takes its end as int((i + 9.01) * 16000).
# In floating point that is one sample early for the windows that start at
# seconds 7 to 23; a window that is a sample short is passed over in silence. So
# whatever lies after 15.01 s of a recording of up to half a minute does not
# count: here its second half turns into loud noise, and the score stays equal
# to the last bit. Compare enhancement on long recordings only after cutting them
# into pieces of at most 15 seconds.
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
t = np.arange(30 * rate) / rate
voice = 0.1 * np.sin(2 * np.pi * 150 * t) * (np.sin(2 * np.pi * 2 * t) > 0)
voice += 0.001 * rng.standard_normal(t.size)


def noisy_from(second):
    signal = voice.copy()
    signal[round(second * rate) :] = rng.uniform(-0.9, 0.9, t.size - round(second * rate))
    return signal


print("speechmos", importlib.metadata.version("speechmos"))
short = [i for i in range(60) if int((i + 9.01) * rate) - i * rate < int(9.01 * rate)]
print("windows that come out a sample short start at seconds:", short)
clean = dnsmos.run(voice, rate)
scores = {}
for second in (15.1, 14.0):
    scores[second] = dnsmos.run(noisy_from(second), rate)
    print(
        f"overall, 30 s: clean {clean['ovrl_mos']:.6f},",
        f"noise from {second} s on {scores[second]['ovrl_mos']:.6f}",
    )
holds = scores[15.1] == clean and scores[14.0] != clean and short == list(range(7, 24))
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
