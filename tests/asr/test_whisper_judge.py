"""Whisper as a judge says what faster-whisper says, in batches of any size, and names what it cannot use."""

import shutil

import numpy as np
import pytest
from tiny_judge import write_tiny_judge

pytest.importorskip("faster_whisper", reason="decoding with Whisper needs the extra `whisper`")
from espnet_plugins.asr.whisper import WhisperRecognizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_judge(tmp_path_factory.mktemp("judge") / "tiny whisper")


@pytest.fixture(scope="module")
def utterances():
    generator = np.random.default_rng(0)
    lengths = (4000, 16000, 30000, 480000, 12345)
    return [(f"utt{k}", 0.1 * generator.standard_normal(n)) for k, n in enumerate(lengths)]


def recognizer(folder, **options):
    return WhisperRecognizer(folder, compute_type="float32", threads=1, **options)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_batch_says_what_each_utterance_says_alone(folder, utterances, beam_size):
    alone = recognizer(folder, batch_size=1, beam_size=beam_size)
    together = recognizer(folder, batch_size=4, beam_size=beam_size)
    expected = [(name, alone(waveform)) for name, waveform in utterances]
    assert list(together.transcribe(utterances)) == expected
    assert len({text for _, text in expected}) > 1


def test_it_says_what_faster_whisper_says(folder, utterances):
    judge = recognizer(folder)
    for name, waveform in utterances[:3]:
        segments, _ = judge._model.transcribe(
            waveform.astype(np.float32),
            language="en",
            beam_size=1,
            temperature=0,
            without_timestamps=True,
            condition_on_previous_text=False,
            no_speech_threshold=None,
        )
        assert judge(waveform) == "".join(segment.text for segment in segments).strip(), name


def test_what_it_cannot_recognize_is_named(folder):
    judge = recognizer(folder)
    with pytest.raises(ValueError, match=r"utterance long has 30\.1 s: Whisper sees 30 s"):
        list(judge.transcribe([("long", np.zeros(481000))]))
    for waveform in (np.zeros(0), np.zeros((100, 2)), np.full(100, np.nan)):
        with pytest.raises(ValueError, match="utterance bad: needs finite samples of one channel"):
            list(judge.transcribe([("bad", waveform)]))


def test_a_language_that_it_lacks(folder):
    with pytest.raises(ValueError, match=r"does not know language 'de': choose from en"):
        recognizer(folder, language="de")


def test_a_folder_that_is_no_whisper(folder, tmp_path):
    with pytest.raises(ValueError, match=r"is no Whisper of CTranslate2: model\.bin, config\.json, tokenizer\.json"):
        WhisperRecognizer(tmp_path)
    copy = tmp_path / "cut"
    shutil.copytree(folder, copy)
    (copy / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot read it"):
        WhisperRecognizer(copy)
