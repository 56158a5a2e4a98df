"""Stages 1 and 2 from the command line: complete, skipped when done, repeated after a change, clear errors."""

from types import SimpleNamespace

import kaldiio
import numpy as np
import pytest
from stages import TINY, Stages

from local.common import audio
from local.common.errors import MissingInput, OptionError
from local.common.kaldi_dir import DataError, read, read_table
from local.corpora import catalogue
from local.stages import data
from local.stages.judges import _waveforms, check_lengths


@pytest.fixture(scope="module")
def finished(tiny_recipe):
    """Both stages, run once."""
    tiny_recipe(data)
    return tiny_recipe


def test_every_set_is_there_and_agrees_with_its_files(finished):
    dump = finished.root / "dump"
    sizes = {"vb_train": 24, "vb_dev": 4, "lm_train": 12, "lm_dev": 4, "test_clean": 12, "test_seen": 12}
    sizes |= {"test_unseen": 12, "test_hard": 12, "test_librimix": 8}
    for name, size in sizes.items():
        utterances = read(dump / name)
        assert len(utterances) == size, name
        for u in utterances[:3]:
            rate, signal = kaldiio.load_mat(u.wav)
            assert (rate, len(signal)) == (16000, u.samples)
            assert len(kaldiio.load_mat(u.references[0])[1]) == u.samples
    for name in ("vb_train", "test_hard"):
        assert [u.id for u in read(finished.root / "data" / name)] == [u.id for u in read(dump / name)]


def test_train_and_dev_are_put_together_without_copies(finished):
    dump = finished.root / "dump"
    train = read_table(dump / "train" / "wav.scp")
    assert len(train) == 36
    assert not list((dump / "train").rglob("*.ark"))
    # Beside training data ESPnet would take it as an order to batch by category.
    assert not (dump / "train" / "utt2category").exists()
    assert set(read_table(dump / "dev" / "utt2num_samples")) == set(read_table(dump / "dev" / "text_spk1"))
    speakers = [set(read_table(dump / s / "utt2spk").values()) for s in ("train", "dev", "test_seen", "test_librimix")]
    assert all(not a & b for i, a in enumerate(speakers) for b in speakers[:i] if a is not b)


def test_clean_input_is_the_reference(finished):
    for u in read(finished.root / "dump" / "test_clean")[:3]:
        assert (kaldiio.load_mat(u.wav)[1] == kaldiio.load_mat(u.references[0])[1]).all()
        assert u.category == "clean"


def test_the_token_list_is_made_from_the_training_texts(finished):
    tokens = (finished.root / "dump" / "tokens" / "tokens.txt").read_text().split()
    assert (tokens[0], tokens[1], tokens[-1]) == ("<blank>", "<unk>", "<sos/eos>")
    assert len(tokens) <= 50
    assert (finished.root / "dump" / "tokens" / "bpe.model").stat().st_size > 0


def test_what_is_done_is_not_done_again(finished, capsys):
    finished(catalogue)
    finished(data)
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.endswith("nothing to do") for line in lines)


def test_a_change_is_named_and_travels_down(finished, capsys):
    sets = {"test_clean": {"corpus": "voicebank_demand", "part": "test_seen", "input": "clean"}}
    finished.write(sets=sets)
    try:
        finished(data)
        lines = capsys.readouterr().out.splitlines()
    finally:
        finished.write()
        finished(data)
    repeated = [line.split("] ", 1)[1] for line in lines if "changed" in line]
    assert len(repeated) == 2
    assert "set.part: test -> test_seen" in repeated[0]
    assert "dump" in repeated[1]


def test_without_stage_1_its_missing_file_is_named(tmp_path, monkeypatch):
    run = Stages(tmp_path, monkeypatch)
    with pytest.raises(MissingInput, match=r"mini\.done is missing: stage 1 makes it") as error:
        run(data)
    assert error.value.exit_code == 2
    assert not (tmp_path / "dump").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": ["nope"]}, "`train` names the set 'nope', which is not among"),
        ({"test": []}, "names no set for `test`"),
        ({"sets": {"dev": {"corpus": "librimix", "split": "dev"}}}, "cannot be called 'dev'"),
        ({"sets": {"vb_train": {"corpus": "timit"}}}, "unknown corpus 'timit', choose from"),
        ({"sets": {"vb_train": {"corpus": "voicebank_demand", "speaker": 1}}}, "'vb_train' of voicebank_demand"),
        ({"corpora": {"librimx": {}}}, "corpora: unknown corpus 'librimx', choose from"),
        (
            {"corpora": {"mini": {**TINY, "librimix": {"train": "many"}}}},
            "mini: librimix: train: 'many' is no number of",
        ),
        ({"corpora": {"librimix": {"source": 3}}}, r"corpora: librimix: unknown key 'source' \(keys: sources\)"),
    ],
)
def test_faults_of_a_preset_are_named_before_any_work(tmp_path, monkeypatch, settings, message):
    run = Stages(tmp_path, monkeypatch)
    run.write(**settings)
    with pytest.raises(OptionError, match=message):
        run(data)
    assert not (tmp_path / "data").exists()


def test_limits_leave_out_what_is_too_short_or_too_long(finished, capsys):
    lengths = [u.seconds for u in read(finished.root / "dump" / "vb_train") + read(finished.root / "dump" / "lm_train")]
    longest = sorted(lengths)[-3]
    finished.write(limits={"max_seconds": longest})
    try:
        finished(data)
        out = capsys.readouterr().out
        assert len(read_table(finished.root / "dump" / "train" / "wav.scp")) == sum(s <= longest for s in lengths)
    finally:
        finished.write()
        finished(data)
    assert "train: 2 of 36 utterances are not within" in out


def test_what_a_judge_cannot_hear_is_named_before_any_training():
    heard = [SimpleNamespace(id=f"u{k}", seconds=seconds) for k, seconds in enumerate((1.0, 30.0))]
    check_lengths("test_seen", heard)
    with pytest.raises(DataError, match=r"'test_seen' .* sees 30 s, but 1 utterances are longer: late; leave them out"):
        check_lengths("test_seen", [*heard, SimpleNamespace(id="late", seconds=30.1)])


def test_a_judge_refuses_audio_at_another_sample_rate(tmp_path):
    for rate in (16000, 8000):
        audio.write(tmp_path / f"{rate}.wav", np.zeros(rate // 10, np.int16), rate)
        (tmp_path / f"{rate}.scp").write_text(f"u {tmp_path / str(rate)}.wav\n")
    assert [name for name, _ in _waveforms(tmp_path / "16000.scp")] == ["u"]
    with pytest.raises(ValueError, match=r"u \(.*8000\.wav\) has 8000 Hz, Whisper hears 16000"):
        list(_waveforms(tmp_path / "8000.scp"))
