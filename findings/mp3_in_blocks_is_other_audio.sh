#!/usr/bin/env bash
# One expects a file read whole and read piece by piece to give the same samples,
# and the number of frames in the file's description to be the number one gets.
# For MP3 with a variable bit rate neither holds in soundfile. After each piece it
# seeks to where it is already, the decoder takes up again without what it needs
# from earlier packets, and the samples are off by up to full scale. If the packet
# with the length is missing, as in a cut or streamed file, the length is a guess:
# blocks() then fills the missing part with its last block, over and over. Turn
# such corpora (Common Voice, podcasts) into WAV or FLAC by reading files whole.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet soundfile==0.14.0 numpy==2.3.5
# The decoder's own complaints about the seeks go to a file.
venv/bin/python - 2>decoder.log <<'PY' || status=$?
import io
import sys

import numpy as np
import soundfile

rate = 16000
rng = np.random.default_rng(0)
t = np.arange(20 * rate) / rate
signal = 0.3 * np.sin(2 * np.pi * 300 * t)
signal[: 6 * rate] = 0
signal[10 * rate :] += 0.2 * rng.standard_normal(10 * rate)
signal = np.clip(signal, -0.9, 0.9)


def encoded(mode):
    buffer = io.BytesIO()
    soundfile.write(
        buffer, signal, rate, format="MP3", bitrate_mode=mode, compression_level=0.5
    )
    return buffer.getvalue()


def without_first_packet(data):
    """Drop the packet that holds the number of packets; it is silent."""
    kbit = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)[data[2] >> 4]
    return data[72 * kbit * 1000 // rate + (data[2] >> 1 & 1) :]


def whole(data):
    return soundfile.read(io.BytesIO(data))[0]


def in_blocks(data):
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        return np.concatenate(list(file.blocks(4096)))


print("soundfile", soundfile.__version__, "libsndfile", soundfile.__libsndfile_version__)
data = encoded("VARIABLE")
difference = np.abs(whole(data) - in_blocks(data)).max()
print(f"variable bit rate, whole against blocks: largest difference {difference:.3f}")
bare = without_first_packet(data)
said = soundfile.info(io.BytesIO(bare)).frames
read, blocks = whole(bare), in_blocks(bare)
print(f"length missing: {said} frames said, {len(read)} read whole, {len(blocks)} in blocks")
repeated = np.array_equal(blocks[-3 * 4096 : -2 * 4096][:1024], blocks[-2 * 4096 :][:1024])
print("the blocks beyond the end repeat the last one:", repeated)
holds = (
    difference > 0.1
    and len(read) < 1.1 * len(signal) < 1.5 * len(signal) < said == len(blocks)
    and repeated
)
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
printf 'lines of complaint by the decoder: %s\n' "$(grep -c 'error:' decoder.log || true)"
grep -v 'error:' decoder.log >&2 || true
exit "${status:-0}"
