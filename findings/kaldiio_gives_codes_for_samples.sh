#!/usr/bin/env bash
# Telephone speech comes as WAV of mu-law or A-law, older corpora as ADPCM: a byte
# is a code there, not a sample. kaldiio reads such a file as if it were linear
# 8-bit audio and gives the codes as they stand, as unsigned numbers, with no
# error and no warning: of a tone in mu-law comes something that lies about 96
# instead of 0 and whose distortion is 5 dB below the tone; of IMA ADPCM, which
# holds two samples in a byte, half as many values come, headers of blocks among
# them, and nothing of the tone. 16-bit audio beside it is right, and soundfile
# decodes all of them. Audio of 24 bits or of floats is refused.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet kaldiio==2.18.1 soundfile==0.13.1 numpy==2.2.6
venv/bin/python - <<'PY'
import kaldiio
import numpy as np
import soundfile

tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)


def likeness(samples):
    size = min(len(samples), len(tone))
    return abs(np.corrcoef(samples[:size].astype(float), tone[:size])[0, 1])


found = {}
for kind in ("PCM_16", "ULAW", "ALAW", "IMA_ADPCM"):
    soundfile.write(f"{kind}.wav", tone, 8000, subtype=kind)
    decoded, _ = soundfile.read(f"{kind}.wav")
    assert likeness(decoded) > 0.99, kind
    with open("wav.scp", "w") as file:
        file.write(f"tone {kind}.wav\n")
    rate, samples = kaldiio.load_scp("wav.scp")["tone"]
    found[kind] = samples
    print(f"{kind:9} {rate} Hz, {len(samples)} samples of {samples.dtype}, mean {samples.mean():.1f}, "
          f"correlation with the tone {likeness(samples):.2f}")

assert found["PCM_16"].dtype == np.int16 and likeness(found["PCM_16"]) > 0.99
for kind in ("ULAW", "ALAW", "IMA_ADPCM"):
    assert found[kind].dtype == np.uint8 and found[kind].mean() > 50, kind
    assert likeness(found[kind]) < 0.9, kind
with open("ULAW.wav", "rb") as file:
    assert file.read().endswith(found["ULAW"].tobytes())
assert len(found["IMA_ADPCM"]) < 4200
for kind in ("PCM_24", "FLOAT"):
    soundfile.write("other.wav", tone, 8000, subtype=kind)
    try:
        kaldiio.load_mat("other.wav")
    except ValueError as error:
        print(f"{kind:9} refused: {error}")
    else:
        raise SystemExit(f"{kind} is no longer refused")
PY
