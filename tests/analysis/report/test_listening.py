"""The listening part: the choice of utterances, and what the page plays and shows."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
import soundfile
from PIL import Image

from espnet_plugins.analysis.report.listening import choose_examples, equalize, make_version, spectrogram

SAMPLE_RATE = 16000


def decode(address, kind):
    head, _, content = address.partition(",")
    assert head == f"data:{kind};base64"
    return BytesIO(base64.b64decode(content))


def test_the_largest_differences_come_first_and_every_set_is_heard(scores):
    systems = ["se", "ssl_soft_dtw_joint_seed0"]
    among = {name: list(scores["se"][name].utterances) for name in ("test_seen", "test_unseen")}
    chosen = choose_examples(scores, systems, among=among, count=6)

    def difference(entry):
        errors = [scores[system][entry[0]].utterances[entry[1]].words.errors for system in systems]
        return max(errors) - min(errors)

    spreads = [difference(entry) for entry in chosen]
    assert spreads == sorted(spreads, reverse=True)
    for name in among:
        mine = [entry for entry in chosen if entry[0] == name]
        assert len(mine) == 3
        others = [difference((name, utt)) for utt in among[name] if (name, utt) not in mine]
        assert min(difference(entry) for entry in mine) >= max(others)
    assert chosen == choose_examples(scores, systems, among=among, count=6)
    assert choose_examples(scores, systems, among={}, count=6) == []
    assert len(choose_examples(scores, systems, among={"test_seen": among["test_seen"][:2]}, count=6)) == 2


def test_audio_is_what_was_given_at_one_loudness():
    signal = 0.01 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    version = make_version("noisy", signal, SAMPLE_RATE, reference="a b", hypothesis="a c")
    samples, rate = soundfile.read(decode(version.audio, "audio/flac"))
    assert rate == SAMPLE_RATE
    assert version.seconds == 1.0
    assert np.corrcoef(samples, signal)[0, 1] > 0.999
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.06, rel=0.01)
    assert version.words == [("equal", "a", "a"), ("substitute", "b", "c")]
    assert version.errors == 1


def test_peaks_stay_below_full_scale_and_silence_stays_silence():
    click = np.zeros(SAMPLE_RATE)
    click[100] = 0.5
    assert np.max(np.abs(equalize(click))) == pytest.approx(0.95)
    assert not equalize(np.zeros(100)).any()


def test_no_transcript_is_not_an_empty_one():
    signal = np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    assert make_version("clean", signal, SAMPLE_RATE).words is None
    assert make_version("noisy", signal, SAMPLE_RATE, reference="a", hypothesis="").words == [("delete", "a", "")]


@pytest.mark.parametrize("frequency", [500, 3000, 7000])
def test_a_tone_stands_at_its_frequency(frequency):
    tone = np.sin(2 * np.pi * frequency * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    level = spectrogram(tone, SAMPLE_RATE)
    assert level.max() == 0
    assert level.min() >= -70
    row = level[:, 20:-20].mean(axis=1).argmax()
    assert (len(level) - row - 0.5) / len(level) * SAMPLE_RATE / 2 == pytest.approx(frequency, abs=100)


@pytest.mark.parametrize("samples", [100, 5000])
def test_short_and_silent_signals_have_a_picture(samples):
    version = make_version("se", np.zeros(samples), SAMPLE_RATE)
    image = Image.open(decode(version.spectrogram, "image/webp"))
    assert image.height == 128
    assert image.width >= samples / 160
