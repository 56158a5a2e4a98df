#!/usr/bin/env bash
# kaldiio compresses matrices by Kaldi's methods under Kaldi's numbers; three of
# them have a fixed range: 4 (two bytes, 16-bit integers), 6 (one byte, 0 to 255)
# and 7 (one byte, 0 to 1: masks, posteriors). One expects a value a little
# outside of it to be stored as the nearest one inside. kaldiio lets such values
# overflow: a mask of -0.02 comes back as 0.99 and one of 1.02 as 0.02, without a
# warning. omniio.kaldi, which ESPnet 202611 uses in its place, limits them: the
# same call, another archive.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet kaldiio==2.18.1 numpy==2.3.5
venv/bin/pip install --quiet --no-deps omniio==0.1.2
venv/bin/python - <<'PY'
import importlib.metadata
import sys

import kaldiio
import numpy as np
import omniio.kaldi

cases = {
    7: [-0.02, 0.0, 0.5, 1.0, 1.02],
    6: [-2.0, 0.0, 127.0, 255.0, 257.0],
    4: [-33000.0, -32768.0, 0.0, 32767.0, 33000.0],
}
holds = True
for method, values in cases.items():
    print(f"method {method}: written ", *(f"{value:9.2f}" for value in values))
    matrix = np.array([values], dtype=np.float32)
    for library in (kaldiio, omniio.kaldi):
        name = "kaldiio" if library is kaldiio else "omniio"
        library.save_ark("matrix.ark", {"a": matrix}, compression_method=method)
        ((_, read),) = kaldiio.load_ark("matrix.ark")
        print(f"  {name:7} {importlib.metadata.version(name):6} read", *(f"{value:9.2f}" for value in read[0]))
        low, *inside, high = read[0]
        step = (values[3] - values[1]) / 255
        holds &= bool(np.abs(np.array(inside) - values[1:-1]).max() < step)
        if name == "kaldiio":
            holds &= bool(low > values[2] > high)
        else:
            holds &= low == inside[0] and high == inside[-1]
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
