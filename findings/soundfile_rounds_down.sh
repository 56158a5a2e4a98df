#!/usr/bin/env bash
# One expects a sample between two of the steps of a 16-bit file to be written as the
# nearer one. soundfile switches on libsndfile's clipping, and with it libsndfile
# scales to 32 bits and cuts the lower ones off: in WAV (and AIFF, NIST and raw files,
# 16 and 24 bits alike) everything is rounded down, -0.01 steps to -1 and 0.99 to 0,
# while the same array in FLAC is rounded as expected. Therefore: (1) what an
# enhancer left of silence at -120 dB below full scale becomes, in half its samples,
# a full step down, and the file lies at -93 dB, 27 dB above what was computed; its
# FLAC is all zeros. (2) Audio is half a step too low and the error is 6 dB larger than
# that of rounding. (3) A gain of 0.3 and its inverse, in 32-bit floats, do not give
# the file back: one sample in twenty is a step lower, none is higher. Scores of arrays and of the files written
# from them differ where it is quiet. Write np.round(32768 * x), clipped, as int16, or
# subtype FLOAT.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet soundfile==0.14.0 numpy==2.2.6
venv/bin/python - <<'PY'
import numpy as np
import soundfile as sf

SAMPLE_RATE = 16000
STEP = 1 / 32768
rng = np.random.default_rng(0)


def stored(samples, suffix):
    """Written as 16 bits and read again, in steps."""
    sf.write(f"it.{suffix}", samples, SAMPLE_RATE, subtype="PCM_16")
    return sf.read(f"it.{suffix}")[0] / STEP


def level(samples):
    return 10 * np.log10(np.mean(np.square(samples)))


print("libsndfile", sf.__libsndfile_version__)
between = np.array([-1.9, -1.1, -0.99, -0.5, -0.01, 0.01, 0.5, 0.99, 1.1, 1.9])
print("steps:", between)
for suffix in ("wav", "aiff", "flac"):
    values = stored(between * STEP, suffix)
    print(f"  {suffix}: {values.astype(int)}")
    assert (values == (np.round(between) if suffix == "flac" else np.floor(between))).all()
sf.write("it.wav", between / 2**23, SAMPLE_RATE, subtype="PCM_24")
assert (sf.read("it.wav")[0] * 2**23 == np.floor(between)).all()

silence = 1e-6 * rng.standard_normal(10 * SAMPLE_RATE)
written = stored(silence, "wav")
print(f"(1) silence of {level(silence):.1f} dB: as WAV {level(written * STEP):.1f} dB, mean {written.mean():.2f} steps, "
      f"values {np.unique(written).astype(int)}; as FLAC {np.unique(stored(silence, 'flac')).astype(int)}")
assert level(written * STEP) - level(silence) > 26
assert set(written) == {-1, 0} and not stored(silence, "flac").any()

speech = 0.1 * rng.laplace(size=10 * SAMPLE_RATE).clip(-9, 9)
error = stored(speech, "wav") - speech / STEP
rounding = stored(speech, "flac") - speech / STEP
print(f"(2) error as WAV: mean {error.mean():.3f} steps, power {level(error) - level(rounding):.2f} dB over that of FLAC")
assert abs(error.mean() + 0.5) < 0.01 and 5.9 < level(error) - level(rounding) < 6.1

recording = stored(speech, "flac")
gain = np.float32(0.3)
again = (gain * (recording * STEP).astype(np.float32)) / gain
moved = stored(again, "wav") - recording
print(f"(3) in 32-bit floats, a gain of 0.3 and its inverse move samples by at most {np.abs(again / STEP - recording).max():.4f} steps: "
      f"{(moved == -1).mean():.1%} of the samples one lower, {(moved > 0).mean():.1%} higher")
assert set(moved) == {-1, 0} and (moved == -1).mean() > 0.03
assert (stored(again, "flac") == recording).all()

mended = np.clip(np.round(again / STEP), -32768, 32767).astype(np.int16)
assert (stored(mended, "wav") == recording).all()
PY
