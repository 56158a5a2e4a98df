"""Files are known by what they hold, and read again only where they may hold something else."""

import os

import pytest

from local.corpora.contents import contents_of


@pytest.fixture
def files(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.wav").write_text(name)
    return {name: tmp_path / f"{name}.wav" for name in "ab"}


def test_the_place_does_not_matter(files, tmp_path):
    before = contents_of(files, kept=tmp_path / "notes" / "kept.json", nj=2)
    moved = {name: path.rename(tmp_path / f"moved_{name}.wav") for name, path in files.items()}
    assert contents_of(moved, kept=tmp_path / "notes" / "kept.json") == before
    assert len({*before.values()}) == 2


def test_what_has_its_size_and_time_is_not_read_again(files, tmp_path):
    before = contents_of(files, kept=tmp_path / "kept.json")
    stat = files["a"].stat()
    files["a"].write_text("c")
    os.utime(files["a"], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert contents_of(files, kept=tmp_path / "kept.json") == before
    files["a"].touch()
    assert contents_of(files, kept=tmp_path / "kept.json")["a"] != before["a"]


@pytest.mark.parametrize("note", ["", "[]", "{", '{"x": 1}', '{"x": {"stamp": 1}}'])
def test_a_damaged_note_is_written_anew(files, tmp_path, note):
    kept = tmp_path / "kept.json"
    before = contents_of(files, kept=kept)
    whole = kept.read_text()
    kept.write_text(note)
    assert contents_of(files, kept=kept) == before
    assert kept.read_text() == whole


def test_what_cannot_be_read_is_none(files, tmp_path):
    found = contents_of({**files, "gone": tmp_path / "gone.wav", "folder": tmp_path}, kept=tmp_path / "kept.json")
    assert [name for name, digest in found.items() if digest is None] == ["gone", "folder"]
