#!/usr/bin/env bash
# One expects every band of a mel filterbank to hear something. python_speech_features
# rounds the edges of its bands down to whole bins of the spectrum; where a band is
# narrower than a bin, its two edges fall together and nothing is left. With 80 bands
# at 16 kHz and the default of 512 points the third is empty: its log energy is
# -36.04 (the log of the smallest float) in every frame of whatever audio, noise and
# full scale alike, and 18 bands see a single bin. With 128 bands, every other one of
# the first fourteen is empty, 13 in all. No warning is given, as librosa gives one.
# Divided by its deviation, which is 0 or a rounding error, such a band is NaN or as
# large as the others without content; in a distance between two utterances it counts
# as perfect agreement. Ask for nfft=1024 (80 bands) or 2048 (128).
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet python_speech_features==0.6 numpy==2.2.6 scipy==1.15.3
venv/bin/python - <<'PY'
import warnings

import numpy as np
from python_speech_features import get_filterbanks, logfbank

warnings.simplefilter("error")
SAMPLE_RATE = 16000
rng = np.random.default_rng(0)
sounds = {
    "noise": 3000 * rng.standard_normal(SAMPLE_RATE),
    "full scale": np.sign(rng.standard_normal(SAMPLE_RATE)) * 32767,
    "hum of 100 Hz": 10000 * np.sign(np.sin(2 * np.pi * 100 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)),
}
for bands, expected in ((80, [2]), (128, [0, 2, 4, 6, 8, 10, 13, 15, 18, 21, 24, 28, 34])):
    weights = get_filterbanks(bands, 512, SAMPLE_RATE)
    empty = np.flatnonzero(weights.sum(1) == 0).tolist()
    single = int(((weights > 0).sum(1) == 1).sum())
    print(f"{bands} bands of 512 points: empty {empty}, of a single bin {single}")
    assert empty == expected
    for name, samples in sounds.items():
        energies = logfbank(samples, SAMPLE_RATE, nfilt=bands)
        constant = np.flatnonzero(np.ptp(energies, axis=0) == 0).tolist()
        print(f"  {name}: bands that never move {constant}, all at {energies[0, constant[0]]:.2f}")
        assert constant == empty
        assert np.allclose(energies[:, constant], np.log(np.finfo(float).eps))

energies = logfbank(sounds["noise"], SAMPLE_RATE, nfilt=80)
print(f"deviation of the third band of 80 over the frames of noise: {energies[:, 2].std():.1e}, of the fourth {energies[:, 3].std():.2f}")
assert energies[:, 2].std() < 1e-12 < 0.1 < energies[:, 3].std()
for bands, points in ((80, 1024), (128, 2048)):
    assert (get_filterbanks(bands, points, SAMPLE_RATE).sum(1) > 0).all()
PY
