"""The synthetic corpus: the same bits every time, the layouts of the real corpora, honest levels."""

import csv
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from levels import active_snr
from places import RECIPE
from stages import TINY

from local.common.errors import RecipeError
from local.corpora import mixing
from local.corpora.synthetic import grammar, noises, synthesis, voices


def pcm(path):
    samples, rate = soundfile.read(path, dtype="int16")
    return samples.astype(np.float64), rate


def contents(root):
    files = (p for p in sorted(root.rglob("*.*")) if p.is_file() and not p.name.startswith("."))
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def test_the_same_seed_gives_the_same_bits_with_any_number_of_processes(tiny_corpus, tmp_path):
    # What an interrupted call left does not show in the result.
    (tmp_path / "demand").mkdir()
    (tmp_path / "demand" / "half.wav").write_bytes(b"half")
    synthesis.synthesize(tmp_path, TINY, nj=1)
    assert contents(tmp_path) == contents(tiny_corpus)


def test_another_seed_gives_other_sentences_and_noise(tiny_corpus, tmp_path):
    drawn = [grammar.sentences(20, np.random.default_rng([seed, 1])) for seed in (5, 6)]
    assert len(set(drawn[0]) & set(drawn[1])) < 3
    pair = [noises.recording("wind", talkers=[], size=16000, rate=16000, seed=seed) for seed in (5, 6)]
    assert abs(np.corrcoef(pair)[0, 1]) < 0.2


def test_speakers_of_train_dev_and_test_are_different_voices():
    groups = (voices.TRAIN_VOICES, voices.MORE_TRAIN_VOICES, voices.DEV_VOICES, voices.TEST_VOICES)
    variants = [voice.variant for group in groups for voice in group]
    assert len(set(variants)) == len(variants)
    assert (len(voices.TRAIN_VOICES), len(voices.DEV_VOICES), len(voices.TEST_VOICES)) == (12, 2, 4)


def test_the_layout_is_that_of_voicebank_demand(tiny_corpus):
    root = tiny_corpus / "voicebank_demand"
    for name, texts in (("trainset_28spk", 28), ("testset", 12)):
        clean = {p.stem for p in (root / f"clean_{name}_wav").iterdir()}
        assert len(clean) == texts
        assert clean == {p.stem for p in (root / f"noisy_{name}_wav").iterdir()}
        assert clean == {p.stem for p in (root / f"{name}_txt").iterdir()}
        assert all(re.fullmatch(r"p\d{3}_\d{3}", stem) for stem in clean)
    text = (root / "testset_txt" / "p232_001.txt").read_text()
    assert re.fullmatch(r"[A-Z][a-z ]+\.\n", text)
    words = text.lower().strip(".\n").split()
    assert set(words) <= set(grammar.VOCABULARY)
    assert len(grammar.VOCABULARY) <= 30
    log = (root / "logfiles" / "log_testset.txt").read_text().splitlines()
    assert re.fullmatch(r"p232_001 \w+ 1\.750000e\+01", log[0])


@pytest.mark.parametrize("name", ["trainset_28spk", "testset", "testset_seen", "testset_hard"])
def test_noisy_minus_clean_has_the_level_the_log_says(tiny_corpus, name):
    root = tiny_corpus / "voicebank_demand"
    clean_name = "testset" if name.startswith("testset") else name
    environments = set()
    for line in (root / "logfiles" / f"log_{name}.txt").read_text().splitlines():
        stem, noise, snr = line.split()
        environments.add(noise)
        clean, rate = pcm(root / f"clean_{clean_name}_wav" / f"{stem}.wav")
        noisy, noisy_rate = pcm(root / f"noisy_{name}_wav" / f"{stem}.wav")
        assert rate == noisy_rate == 48000
        assert len(clean) == len(noisy)
        assert active_snr(clean, noisy, rate) == pytest.approx(float(snr), abs=0.5)
        assert np.abs(noisy).max() < 32767
    expected = {"testset": noises.UNSEEN, "testset_hard": noises.SEEN + noises.UNSEEN}.get(name, noises.SEEN)
    assert environments <= set(expected)


def test_speech_is_at_a_natural_level_between_short_pauses(tiny_corpus):
    for path in (tiny_corpus / "voicebank_demand" / "clean_testset_wav").iterdir():
        samples, rate = pcm(path)
        loud = np.flatnonzero(np.abs(samples) > 0.02 * np.abs(samples).max())
        assert 0.09 < loud[0] / rate < 0.31
        assert 0.09 < (len(samples) - loud[-1]) / rate < 0.31
        level = 20 * np.log10(np.sqrt(np.mean(samples**2)) / 32768)
        assert -35 < level < -26
        # The pauses are not digital silence, which no microphone gives.
        assert np.abs(samples[: int(0.05 * rate)]).max() > 0


def test_environments_differ_in_kind_and_repeat_by_seed():
    talk = [np.random.default_rng(i).standard_normal(16000) for i in range(3)]
    made = {}
    for name in noises.SEEN + noises.UNSEEN:
        noise = noises.recording(name, talkers=talk, size=16000, rate=16000, seed=1)
        again = noises.recording(name, talkers=talk, size=16000, rate=16000, seed=1)
        np.testing.assert_array_equal(noise, again)
        assert np.abs(noise).max() < 1
        assert noise.std() == pytest.approx(0.05, rel=1e-3)
        made[name] = noise
    correlations = np.corrcoef(np.stack(list(made.values()))) - np.eye(len(made))
    assert np.abs(correlations).max() < 0.2


def test_test_noise_is_cut_from_another_part_of_the_recording():
    noise = np.arange(1000)
    rng = np.random.default_rng(0)
    train = [mixing.cut(noise, "train", 100, rng) for _ in range(200)]
    test = [mixing.cut(noise, "test", 100, rng) for _ in range(200)]
    assert max(piece.max() for piece in train) < min(piece.min() for piece in test)
    with pytest.raises(RecipeError, match="noise_seconds"):
        mixing.cut(noise, "test", 500, rng)


def test_every_condition_comes_equally_often_within_a_speaker():
    stems = [f"p{s}_{i:03d}" for s in (1, 2) for i in range(1, 12)]
    assigned = mixing.conditions(stems, ["b", "a"], [0, 10], seed=3)
    assert [assigned[f"p1_{i:03d}"] for i in range(1, 5)] == [("a", 10), ("a", 0), ("b", 10), ("b", 0)]
    for speaker in ("p1", "p2"):
        pairs = [pair for stem, pair in assigned.items() if stem.startswith(speaker)]
        counts = [pairs.count(pair) for pair in set(pairs)]
        assert len(counts) == 4
        assert max(counts) - min(counts) == 1


def test_librispeech_and_metadata_have_the_traps_of_the_real_ones(tiny_corpus):
    table = (tiny_corpus / "LibriSpeech" / "SPEAKERS.TXT").read_text()
    assert any(line.startswith("60 ") and line.count("|") == 5 for line in table.splitlines())
    short = stereo = 0
    for path in (tiny_corpus / "wham_noise" / "tr").iterdir():
        info = soundfile.info(path)
        stereo += info.channels == 2
        short += info.duration < 1.7
    assert stereo == 16
    assert short >= 1
    with (tiny_corpus / "LibriMix/metadata/Libri2Mix/libri2mix_train-clean-100.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    for row in rows:
        first, second = row["source_1_path"], row["source_2_path"]
        assert first.split("/")[1] != second.split("/")[1]
        assert row["mixture_ID"].split("_")[0] in first


def test_an_unknown_voice_is_an_error_with_its_name():
    with pytest.raises(RecipeError, match="no voice variant 'nobody'"):
        next(voices.speak(voices.Voice("nobody", "M", 170, 50), [voices.Prompt("one")], seed=1))


def test_sentences_are_different_and_of_the_grammar():
    drawn = grammar.sentences(500, np.random.default_rng(0))
    assert len(set(drawn)) == 500
    lengths = [len(text.split()) for text in drawn]
    assert (min(lengths), max(lengths)) == (5, 9)
    assert {word for text in drawn for word in text.split()} == set(grammar.VOCABULARY)
    more = grammar.sentences(200, np.random.default_rng(0), exclude=frozenset(drawn))
    assert not set(more) & set(drawn)


def test_the_synthesizer_speaks_from_data_at_a_long_path(tmp_path):
    """Its own buffer holds 160 bytes."""
    import espeakng_loader

    folder = tmp_path / ("a" * 120) / ("b" * 120)
    folder.mkdir(parents=True)
    (folder / "espeak-ng-data").symlink_to(espeakng_loader.get_data_path())
    code = (
        "import sys, espeakng_loader as loader; loader.get_data_path = lambda: sys.argv[1];"
        "from local.corpora.synthetic.voices import Prompt, Voice, speak;"
        "speech, rate = next(speak(Voice('m3', 'M', 170, 50), [Prompt('set red four')], seed=1));"
        "print(rate, len(speech) > rate / 2)"
    )
    command = [sys.executable, "-c", code, str(folder / "espeak-ng-data")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=RECIPE, check=False)
    assert (done.stdout, done.returncode) == ("22050 True\n", 0), done.stderr
