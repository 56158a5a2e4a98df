#!/usr/bin/env bash
# webrtcvad is asked frame by frame whether there is speech, and one expects the answer
# to be about the frame, or at most about its file. The object adapts a model of noise
# and speech and keeps it; nothing resets it but a new object, set_mode does not. Used
# for one file after another, as a corpus is cut, it answers by what it was given before:
# of the same file, 34 of 133 frames get another answer the second time in mode 1 (42
# frames of speech become 76), and the answers after another file differ from both or
# from one of them. The share of speech then depends on the order of the files and on
# how they were spread over processes. Make an object for each file.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet webrtcvad-wheels==2.0.14.post1 numpy==2.2.6
venv/bin/python - <<'PY'
import numpy as np
import webrtcvad

SAMPLE_RATE, FRAME = 16000, 480
rng = np.random.default_rng(0)
time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
pitch = np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / SAMPLE_RATE
voice = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 25))
clean = 0.1 * voice * np.clip(np.sin(2 * np.pi * 0.5 * time), 0, None) ** 0.5
files = {
    "quiet speech": 0.1 * clean + 0.001 * rng.standard_normal(len(time)),
    "loud speech": clean + 0.05 * rng.standard_normal(len(time)),
    "noise": 0.02 * rng.standard_normal(len(time)),
}


def answers(vad, name):
    samples = np.round(32767 * files[name]).clip(-32768, 32767).astype("<i2")
    return np.array([vad.is_speech(samples[at : at + FRAME].tobytes(), SAMPLE_RATE)
                     for at in range(0, len(samples) - FRAME + 1, FRAME)])


for mode in range(4):
    alone = answers(webrtcvad.Vad(mode), "quiet speech")
    assert (answers(webrtcvad.Vad(mode), "quiet speech") == alone).all()
    used = webrtcvad.Vad(mode)
    answers(used, "quiet speech")
    used.set_mode(mode)
    twice = answers(used, "quiet speech")
    used = webrtcvad.Vad(mode)
    answers(used, "loud speech")
    after = answers(used, "quiet speech")
    print(f"mode {mode}: {len(alone)} frames, speech alone {alone.sum()}, a second time {twice.sum()} "
          f"({(twice != alone).sum()} other answers), after a loud file {after.sum()} ({(after != alone).sum()} other)")
    assert (twice != alone).sum() >= 5 and (after != twice).sum() >= 5

    used = webrtcvad.Vad(mode)
    answers(used, "noise")
    first, second = answers(webrtcvad.Vad(mode), "noise").sum(), answers(used, "noise").sum()
    print(f"        noise: speech in {first} frames, a second time in {second}")
    assert first > 0 == second
PY
