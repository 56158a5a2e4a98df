#!/usr/bin/env bash
# omniio puts audio into archives as FLAC, WAV or Opus ("webm") and describes each
# entry; one expects the duration to be the audio's. For 16 kHz audio given as an
# array and stored as Opus it is a third of it: the samples are counted at 16 kHz
# and divided by the 48 kHz of the codec. Batches by duration then hold three
# times as much. And a slice (start_time, end_time) of Opus begins with a packet
# of 20 ms near the time asked for, up to 10 ms early or late, while a slice of
# FLAC begins with the sample.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet numpy==2.3.5 soundfile==0.14.0 av==18.1.0 requests==2.34.2
venv/bin/pip install --quiet --no-deps omniio==0.1.2
venv/bin/python - <<'PY'
import importlib.metadata
import sys

import numpy as np
from omniio.audio.read import audio_read_local
from omniio.audio.write import audio_write

rate = 16000
rng = np.random.default_rng(0)
speech = 0.1 * rng.standard_normal(4 * rate)
print("omniio", importlib.metadata.version("omniio"), "av", importlib.metadata.version("av"))


def start_of(part, whole):
    """Where in `whole` the piece from 0.1 s to 0.3 s of `part` is, less 0.1 s."""
    piece, size = part[len(part) // 10 :][: len(part) // 5], len(whole)
    match = np.fft.irfft(np.fft.rfft(whole, 2 * size) * np.conj(np.fft.rfft(piece, 2 * size)))
    return int(match[:size].argmax()) - len(part) // 10


off, durations = {}, {}
for kind in ("flac", "webm"):
    data, entry = audio_write((speech, rate), "a", target_format=kind)
    with open("archive.bin", "wb") as file:
        file.write(data)
    durations[kind] = entry["duration"]
    whole = audio_read_local("archive.bin", 0, len(data))
    length = len(whole.array) / whole.sample_rate
    print(f"{kind}: said to last {durations[kind]:.3f} s, read back {length:.3f} s")
    off[kind] = []
    for start in (0.500, 1.234, 1.250, 2.510):
        part = audio_read_local("archive.bin", 0, len(data), start, start + 1)
        begin = start_of(part.array[:, 0], whole.array[:, 0]) / whole.sample_rate
        off[kind].append(abs(begin - start))
        print(f"  asked for {start:.3f} s, begins at {begin:.4f} s")
holds = (
    durations["flac"] == 4 and abs(durations["webm"] - 4 / 3) < 1e-9 and abs(length - 4) < 0.05
    and max(off["flac"]) < 1e-4 and max(off["webm"]) > 5e-3
)
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
