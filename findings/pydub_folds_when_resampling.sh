#!/usr/bin/env bash
# One expects a resampler to remove what the new rate cannot hold. pydub's
# set_frame_rate calls Python's audioop.ratecv, which draws straight lines between
# samples and filters nothing: from 48 to 16 kHz it keeps every third sample as it
# is. All above 8 kHz folds into the speech band at full level: a tone of 10 kHz
# comes back as one of 6 kHz, just as loud, and a hiss above 9 kHz, of which
# filtering leaves nothing, stays as noise 6 dB below the voice. To a higher rate
# the lines dull it: 3.5 kHz from 8 to 16 kHz loses 3 dB. A noisy corpus at 48 kHz
# brought to 16 kHz in this way is another, harder task than the same corpus
# elsewhere. Resample with soxr or scipy instead.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet pydub==0.25.1 numpy==2.4.6 'audioop-lts==0.2.2; python_version >= "3.13"'
venv/bin/python -W ignore - <<'PY'
import numpy as np
from pydub import AudioSegment


def resample(samples, old, new):
    segment = AudioSegment(samples.astype(np.int16).tobytes(), frame_rate=old, sample_width=2, channels=1)
    return np.array(segment.set_frame_rate(new).get_array_of_samples(), dtype=float)


def tone(frequency, rate):
    return np.round(8000 * np.sin(2 * np.pi * frequency * np.arange(2 * rate) / rate))


def peak(samples, rate):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * rate / len(samples)


found = {}
for frequency, old, new in ((10000, 48000, 16000), (6000, 16000, 8000), (14000, 44100, 16000), (3500, 8000, 16000)):
    given = tone(frequency, old)
    got = resample(given, old, new)
    level = 20 * np.log10(got.std() / given.std())
    found[frequency] = peak(got, new), level
    print(f"{frequency} Hz, from {old} to {new} Hz: comes back at {found[frequency][0]:.0f} Hz, {level:+.1f} dB")
for frequency, folded in ((10000, 6000), (6000, 2000), (14000, 2000)):
    assert abs(found[frequency][0] - folded) < 2, frequency
assert abs(found[10000][1]) < 0.1 and abs(found[6000][1]) < 0.1 and found[14000][1] > -4
assert abs(found[3500][0] - 3500) < 2 and found[3500][1] < -2

OLD, NEW = 48000, 16000
time = np.arange(2 * OLD) / OLD
pitch = np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / OLD
voice = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 25))
clean = 2000 * voice * np.clip(np.sin(2 * np.pi * 2 * time), 0, None) ** 0.5
spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(len(time)))
spectrum[np.fft.rfftfreq(len(time), 1 / OLD) < 9000] = 0
hiss = np.fft.irfft(spectrum)
hiss *= 500 / hiss.std()
noisy = np.round(clean + hiss)


def ideal(samples):
    """Resampled by leaving out all above half of the new rate."""
    count = len(samples) * NEW // OLD
    return np.fft.irfft(np.fft.rfft(samples)[: count // 2 + 1], count) * NEW / OLD


def decibels(estimate):
    target = ideal(clean)
    return 10 * np.log10(np.mean(target**2) / np.mean((estimate - target) ** 2))


by_pydub = resample(noisy, OLD, NEW)
scores = decibels(by_pydub), decibels(ideal(noisy))
print(f"voice with a hiss above 9 kHz, at 16 kHz: {scores[0]:.1f} dB by pydub, {scores[1]:.1f} dB filtered; "
      f"pydub gives every third sample: {np.array_equal(by_pydub, noisy[::3])}")
assert np.array_equal(by_pydub, noisy[::3])
assert scores[0] < 10 < 30 < scores[1]
PY
