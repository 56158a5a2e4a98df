"""Digit strings: speakers kept apart, every recording used, text and audio agree."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from levels import active_snr
from places import SHARED
from stages import Stages

from local.common.errors import OptionError
from local.common.kaldi_dir import DataError, read
from local.common.recipe import load_preset
from local.corpora import catalogue, csv_corpus, fsdd
from local.corpora.synthetic.grammar import DIGITS
from local.stages import data

REAL = SHARED / "fsdd"
SETTINGS = {
    "seed": 0,
    "test_speakers": ["zoe"],
    "train": 14,
    "speeds": [1.0, 1.25],
    "dev": 4,
    "test": 9,
    "dev_share": 0.25,
    "snr": {"train": [10, 0], "test": [12.5, 2.5], "hard": [-5]},
    "noise_seconds": 16,
}


def frequency(digit, speaker):
    return 300 + 150 * digit + {"ann": 0, "bob": 40, "zoe": 80}[speaker]


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """A data set in which every digit of every speaker is a tone of its own."""
    root = tmp_path_factory.mktemp("fsdd")
    (root / "recordings").mkdir()
    time = np.arange(2400) / 8000
    for speaker in ("ann", "bob", "zoe"):
        for digit in range(10):
            for number in range(4):
                tone = 0.2 * np.sin(2 * np.pi * frequency(digit, speaker) * time)
                soundfile.write(root / "recordings" / f"{digit}_{speaker}_{number}.wav", tone, 8000)
    (root / "recordings" / "README.md").write_text("not a recording")
    return root


@pytest.fixture(scope="module")
def prepared(tones, tmp_path_factory):
    out = tmp_path_factory.mktemp("digits")
    fsdd.prepare(tones, out, SETTINGS, nj=2)
    return out


def heard(path, speaker, *, speed=1.0):
    """The digits of a file of tones, by the strongest frequency wherever it is loud."""
    signal, rate = soundfile.read(path)
    expected = {speed * frequency(digit, speaker): word for digit, word in enumerate(DIGITS)}
    words, size = [], 320
    loud = np.convolve(signal**2, np.ones(size) / size, mode="same") > 1e-5
    edges = np.flatnonzero(np.diff(loud.astype(int)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        spectrum = np.abs(np.fft.rfft(signal[start:stop] * np.hanning(stop - start), 1 << 16))
        peak = np.argmax(spectrum) * rate / (1 << 16)
        words.append(expected[min(expected, key=lambda hertz: abs(hertz - peak))])
    return " ".join(words)


def test_text_and_audio_agree(prepared):
    for part, speeds in (("train", SETTINGS["speeds"]), ("dev", [1.0]), ("test_seen", [1.0])):
        for i, row in enumerate(csv_corpus.read_rows(prepared / f"{part}.csv")[:6]):
            assert heard(prepared / row["clean"], row["speaker"], speed=speeds[i % len(speeds)]) == row["text"]
            assert 3 <= len(row["text"].split()) <= 7


def test_speakers_and_recordings_are_kept_apart(prepared, tones):
    rows = {part: csv_corpus.read_rows(prepared / f"{part}.csv") for part in ("train", "dev", "test_seen", "test_hard")}
    assert {name: len(found) for name, found in rows.items()} == {"train": 14, "dev": 4, "test_seen": 9, "test_hard": 9}
    assert {row["speaker"] for row in rows["train"]} == {row["speaker"] for row in rows["dev"]} == {"ann", "bob"}
    assert {row["speaker"] for row in rows["test_seen"]} == {"zoe"}
    train, dev = fsdd.split_speaker(fsdd.recordings(tones)["ann"], dev_share=0.25)
    assert (len(train), len(dev)) == (30, 10)
    assert not set(train) & set(dev)
    assert {path.name[0] for path in dev} == set("0123456789")


def test_every_recording_comes_once_before_any_comes_again(tones):
    paths = fsdd.recordings(tones)["bob"]
    used = [path for string in fsdd.draw_strings(paths, 40, np.random.default_rng(0)) for path in string]
    for start in range(0, len(used) - len(paths), len(paths)):
        assert set(used[start : start + len(paths)]) == set(paths)


def test_noisy_minus_clean_has_the_level_of_the_table(prepared):
    for part in ("train", "test_unseen", "test_hard"):
        for row in csv_corpus.read_rows(prepared / f"{part}.csv"):
            files = (soundfile.read(prepared / row[kind], dtype="int16")[0] for kind in ("clean", "noisy"))
            clean, noisy = (samples.astype(float) for samples in files)
            assert active_snr(clean, noisy, 16000) == pytest.approx(float(row["snr"]), abs=0.5)


def test_the_same_settings_give_the_same_bits(prepared, tones, tmp_path):
    fsdd.prepare(tones, tmp_path, SETTINGS, nj=1)
    for path in prepared.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(prepared)).read_bytes(), path


def test_faults_are_named(tones, tmp_path):
    with pytest.raises(OptionError, match="test speaker 'max' is not among ann, bob, zoe"):
        fsdd.prepare(tones, tmp_path, {**SETTINGS, "test_speakers": ["max"]}, nj=1)
    with pytest.raises(OptionError, match="one speaker to test on and one to train on"):
        fsdd.prepare(tones, tmp_path, {**SETTINGS, "test_speakers": ["ann", "bob", "zoe"]}, nj=1)
    with pytest.raises(DataError, match="give the data set with --fsdd"):
        fsdd.recordings(tmp_path)
    (tmp_path / "recordings").mkdir()
    soundfile.write(tmp_path / "recordings" / "1_ann_0.wav", np.zeros(800), 8000)
    with pytest.raises(DataError, match="speaker ann has no recording of zero"):
        fsdd.recordings(tmp_path)


def test_a_recording_that_is_missing_is_named(tones, tmp_path):
    root = tmp_path / "a copy"
    shutil.copytree(tones, root)
    registry = {"fsdd": SimpleNamespace(facts={"recordings": 4})}
    corpus = fsdd.FreeSpokenDigits(SimpleNamespace(registry=registry))
    assert corpus.verify(root, ()) == {"ann": 40, "bob": 40, "zoe": 40}
    (root / "recordings" / "7_bob_2.wav").unlink()
    with pytest.raises(DataError, match=r"lacks 1 files of bob: 7_bob_2\.wav"):
        corpus.verify(root, ())


def test_the_folds_differ_in_their_speakers_alone():
    folds = [load_preset(f"digits_fold{number}") for number in (1, 2, 3)]
    tested = [speaker for fold in folds for speaker in fold["corpora"]["digits"].pop("test_speakers")]
    assert sorted(tested) == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    assert folds[0] == folds[1] == folds[2]


@pytest.mark.skipif(not REAL.is_dir(), reason="the real recordings are not here")
def test_the_preset_goes_through_both_stages_on_real_speech(tmp_path, monkeypatch):
    # Set by stage 1 from --fsdd, and put back when the test ends.
    monkeypatch.setenv("FSDD", "")
    small = {**SETTINGS, "test_speakers": ["nicolas"], "train": 12, "dev": 3, "test": 6}
    stages = Stages(tmp_path, monkeypatch, extends="digits", corpora={"digits": small}, vocabulary=30)
    stages(catalogue, "--fsdd", str(REAL))
    stages(data)
    train, test = (read(tmp_path / "dump" / name) for name in ("digits_train", "test_seen"))
    assert {u.speaker for u in train} == {"george", "jackson", "theo"}
    assert {u.speaker for u in test} == {"nicolas"}
    assert all(0.8 < u.seconds < 8 for u in train + test)
    assert {word for u in train for word in u.texts[0].lower().split()} <= set(DIGITS)
