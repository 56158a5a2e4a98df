#!/usr/bin/env bash
# A wav.scp may name WAV or FLAC files, and one expects the same samples of both.
# kaldiio gives 16-bit WAV as integers (up to 32767) and FLAC as numbers below 1:
# turning a corpus into FLAC to save space divides it by 32768 for who computes
# features of what comes. omniio.kaldi, which says that it can be put in the place
# of kaldiio with the same return types and which ESPnet 202611 uses, gives
# integers for both. In an archive of FLAC ("soundfile" as the way of writing)
# both give numbers below 1 again. Look at the dtype before scaling.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet kaldiio==2.18.1 numpy==2.3.5 soundfile==0.14.0
venv/bin/pip install --quiet --no-deps omniio==0.1.2
venv/bin/python - <<'PY'
import importlib.metadata
import sys

import kaldiio
import numpy as np
import omniio.kaldi
import soundfile

rate = 16000
tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
samples = (16384 * tone).astype(np.int16)
soundfile.write("a.wav", samples, rate)
soundfile.write("a.flac", samples, rate)
kaldiio.save_ark(
    "flac.ark", {"archive": (rate, samples)}, scp="archive.scp",
    write_function="soundfile", write_kwargs={"format": "flac"},
)
with open("wav.scp", "w") as file, open("archive.scp") as archive:
    file.write("wav a.wav\nflac a.flac\n" + archive.read())

found = {}
for name, library in (("kaldiio", kaldiio), ("omniio", omniio.kaldi)):
    print(name, importlib.metadata.version(name))
    for key, (_, read) in library.load_scp("wav.scp").items():
        same = np.allclose(read / np.abs(read).max(), samples / np.abs(samples).max(), atol=1e-4)
        found[name, key] = f"{read.dtype}, largest {np.abs(read).max():g}, same shape of wave: {same}"
        print(f"  {key:8}", found[name, key])
integers = "int16, largest 16384, same shape of wave: True"
floats = "float64, largest 0.5, same shape of wave: True"
holds = found == {
    ("kaldiio", "wav"): integers, ("kaldiio", "flac"): floats, ("kaldiio", "archive"): floats,
    ("omniio", "wav"): integers, ("omniio", "flac"): integers, ("omniio", "archive"): floats,
}
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
