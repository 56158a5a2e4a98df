"""Data directories: written sorted and complete, read back the same, faults named."""

import dataclasses

import pytest

from local.common import kaldi_dir
from local.common.kaldi_dir import DataError, Utterance


def utterance(name, speaker="p1", **changes):
    fields = {
        "id": name,
        "speaker": speaker,
        "wav": f"/corpus/with space/{name}.wav",
        "references": (f"/clean/{name}.wav",),
        "texts": ("ONE TWO",),
        "category": "hum_5dB",
        "samples": 48000,
        "rate": 48000,
        "details": {"noise": "hum", "snr": "5"},
    }
    return Utterance(**{**fields, **changes})


def test_what_is_written_is_read_back_sorted(tmp_path):
    names = ["p1_3", "p1_1", "p2_0"]
    mixed = [utterance(n, n.split("_")[0], noise=f"/noise/{n}.wav") for n in names]
    written = kaldi_dir.write(tmp_path / "set", mixed)
    assert [u.id for u in written] == sorted(names)
    assert kaldi_dir.read(tmp_path / "set") == written
    assert (tmp_path / "set" / "spk2utt").read_text() == "p1 p1_1 p1_3\np2 p2_0\n"
    for name in ("wav.scp", "spk1.scp", "noise1.scp", "text_spk1", "utt2spk", "utt2category"):
        keys = [line.split()[0] for line in (tmp_path / "set" / name).read_text().splitlines()]
        assert keys == sorted(names), name
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_speakers_are_two_lists(tmp_path):
    both = utterance("a_1", "a", references=("/1.wav", "/2.wav"), texts=("ONE", "TWO THREE"))
    kaldi_dir.write(tmp_path / "set", [both])
    assert (tmp_path / "set" / "text_spk2").read_text() == "a_1 TWO THREE\n"
    assert kaldi_dir.read(tmp_path / "set") == [both]


def test_categories_can_be_left_out(tmp_path):
    kaldi_dir.write(tmp_path / "set", [utterance("p1_1")], categories=False)
    assert not (tmp_path / "set" / "utt2category").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "p1_CLEAN"}, "must not end in CLEAN or REAL"),
        ({"id": "p1_REAL"}, "must not end in CLEAN or REAL"),
        ({"id": "p1 x"}, "one word"),
        ({"id": "p1/9"}, "must hold no '/'"),
        ({"id": "q_1"}, "must begin with its speaker, 'p1'"),
        ({"texts": ("  ",)}, "transcript is empty"),
        ({"texts": ("A", "B")}, "2 texts and 1 references"),
        ({"noise": "/n.wav"}, "some utterances have a noise signal"),
        ({"samples": 0}, "has no samples"),
        ({"category": "hum 5"}, "category 'hum 5' must be one word"),
    ],
)
def test_a_fault_is_named_and_nothing_is_written(tmp_path, changes, message):
    bad = dataclasses.replace(utterance("p1_9"), **changes)
    with pytest.raises(DataError, match=message) as error:
        kaldi_dir.write(tmp_path / "set", [utterance("p1_1"), bad])
    assert f"'{bad.id}'" in str(error.value)
    assert not (tmp_path / "set").exists()


def test_an_id_that_comes_twice_and_an_empty_set_are_faults(tmp_path):
    with pytest.raises(DataError, match="'p1_1': the id comes twice"):
        kaldi_dir.write(tmp_path / "set", [utterance("p1_1"), utterance("p1_1")])
    with pytest.raises(DataError, match="has no utterances"):
        kaldi_dir.write(tmp_path / "set", [])


def test_files_that_disagree_are_found(tmp_path):
    kaldi_dir.write(tmp_path / "set", [utterance("p1_1"), utterance("p1_2")])
    (tmp_path / "set" / "text_spk1").write_text("p1_1 ONE\n")
    with pytest.raises(DataError, match=r"'p1_2' stands in only one of wav\.scp and text_spk1"):
        kaldi_dir.read(tmp_path / "set")
    (tmp_path / "set" / "text_spk1").write_text("p1_1 ONE\np1_2\n")
    with pytest.raises(DataError, match="text_spk1, line 2: 'p1_2' has no value"):
        kaldi_dir.read(tmp_path / "set")


def test_combining_keeps_ids_unless_they_clash():
    one, two = [utterance("p1_1")], [utterance("p2_1", "p2", noise="/n.wav")]
    plain = kaldi_dir.combine({"x": one, "y": two})
    assert [u.id for u in plain] == ["p1_1", "p2_1"]
    assert all(u.noise is None for u in plain)
    assert [u.details["set"] for u in plain] == ["x", "y"]
    clash = kaldi_dir.combine({"x": one, "y": one})
    assert [(u.id, u.speaker) for u in clash] == [("x-p1_1", "x-p1"), ("y-p1_1", "y-p1")]
    kaldi_dir.check(clash, name="both")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("utt2num_samples", b"48000", b"4800J", "'4800J', which is no positive whole number"),
        ("utt2spk", b"p1", b"\xff1", "utt2spk, line 1: not UTF-8"),
        ("manifest.csv", b"category", b"cat", "has no column 'category'"),
        ("manifest.csv", b",48000,", b"48000", "line 2: not as many fields as the header has"),
        ("manifest.csv", b"\np1_1,", b"\np1_9,", "has no row for 'p1_1'"),
    ],
)
def test_a_damaged_directory_is_named(tmp_path, name, old, new, message):
    kaldi_dir.write(tmp_path, [utterance("p1_1", "p1", samples=48000)])
    content = (tmp_path / name).read_bytes()
    assert old in content
    (tmp_path / name).write_bytes(content.replace(old, new, 1))
    with pytest.raises(kaldi_dir.DataError, match=message):
        kaldi_dir.read(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: (d / "spk1.scp").unlink(), r"spk1\.scp is missing"),
        (lambda d: (d / "text_spk1").unlink(), "text_spk1 is missing"),
        (lambda d: (d / "text_spk2").write_text("p1_1 HO\n"), r"spk2\.scp is missing"),
        (lambda d: (d / "utt2num_samples").write_text("p1_1 " + "9" * 5000), "which is no positive whole number"),
        (lambda d: (d / "manifest.csv").write_text(2 * (d / "manifest.csv").read_text()), "no row|comes twice|column"),
        (lambda d: (d / "utt2spk").unlink() or (d / "utt2spk").mkdir(), "utt2spk cannot be read: Is a directory"),
    ],
)
def test_a_list_that_is_lost_is_no_speaker_less(tmp_path, spoil, message):
    kaldi_dir.write(tmp_path, [utterance("p1_1")])
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        kaldi_dir.read(tmp_path)


def test_a_row_of_the_manifest_that_comes_twice_is_named(tmp_path):
    kaldi_dir.write(tmp_path, [utterance("p1_1")])
    header, row = (tmp_path / "manifest.csv").read_text().splitlines()
    (tmp_path / "manifest.csv").write_text(f"{header}\n{row}\n{row}\n")
    with pytest.raises(DataError, match=r"manifest\.csv, line 3: 'p1_1' comes twice"):
        kaldi_dir.read(tmp_path)
