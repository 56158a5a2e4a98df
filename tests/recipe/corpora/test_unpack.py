"""Archives are unpacked whole or not at all, and never outside their folder."""

import io
import tarfile
import zipfile

import pytest

from local.common.errors import RecipeError
from local.corpora.unpack import ArchiveError, unpack


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path, members, links=()):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


GOOD = {"top/part/a.txt": b"a", "top/part/b.txt": b"b", "top/README": b"r", "__MACOSX/top/._a.txt": b"x"}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_litter_is_left_out_and_a_path_can_be_taken(make, tmp_path):
    path = make(tmp_path / "archive", {**GOOD, "top/._README": b"x", "top/.DS_Store": b"x"})
    unpack(path, tmp_path / "all")
    assert tree(tmp_path / "all") == {"top/part/a.txt": b"a", "top/part/b.txt": b"b", "top/README": b"r"}
    unpack(path, tmp_path / "some", take="top/part")
    assert tree(tmp_path / "some") == {"a.txt": b"a", "b.txt": b"b"}
    unpack(path, tmp_path / "one", take="top", only="b.txt")
    assert tree(tmp_path / "one") == {"part/b.txt": b"b"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all", "archive", "one", "some"]


def test_several_archives_share_a_folder(tmp_path):
    unpack(make_zip(tmp_path / "1.zip", {"L/README": b"1", "L/dev/x": b"x"}), tmp_path / "L", take="L")
    unpack(make_zip(tmp_path / "2.zip", {"L/README": b"2", "L/test/y": b"y"}), tmp_path / "L", take="L")
    assert tree(tmp_path / "L") == {"README": b"2", "dev/x": b"x", "test/y": b"y"}


@pytest.mark.parametrize("name", ["../evil.txt", "top/../../evil.txt", "/evil.txt", "..\\evil.txt"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_paths_that_leave_the_folder_are_refused(make, name, tmp_path):
    path = make(tmp_path / "archive", {"top/good.txt": b"good", name: b"evil"})
    with pytest.raises(ArchiveError, match="outside the folder"):
        unpack(path, tmp_path / "in" / "folder")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["archive"]
    assert not (tmp_path / "in" / "folder").exists()


def test_links_are_refused(tmp_path):
    path = make_tar(tmp_path / "archive", {"a": b"a"}, links=[("link", "/etc/passwd")])
    with pytest.raises(ArchiveError, match="'link' is neither a file nor a folder"):
        unpack(path, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("kind", ["zip", "tar", "other", "nothing taken"])
def test_damage_is_named_and_nothing_is_left(kind, tmp_path):
    path = tmp_path / "archive"
    content = bytes(range(256)) * 400
    if kind == "zip":
        data = bytearray(make_zip(path, {"a": content}).read_bytes())
        data[60] ^= 0xFF
        path.write_bytes(data)
    elif kind == "tar":
        path.write_bytes(make_tar(path, {"a": content, "b": content}).read_bytes()[:-300])
    elif kind == "other":
        path.write_bytes(content)
    else:
        make_zip(path, {"a": content})
    with pytest.raises(ArchiveError, match=str(path)):
        unpack(path, tmp_path / "folder", take="b" if kind == "nothing taken" else "")
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, small_disk):
    path = make_zip(tmp_path / "big.zip", {"top/big": bytes(2_000_000)})
    with pytest.raises(RecipeError, match=r"cannot unpack .*big\.zip .*No space left on device"):
        unpack(path, small_disk / "folder")
    assert list(small_disk.iterdir()) == []


def test_a_zip_of_an_unknown_kind_is_named(tmp_path):
    """A compression that zipfile does not know; a version of the format that it does not know."""
    for offset, name in ((10, "method"), (6, "version")):
        archive = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("top/a.txt", "hello")
        content = bytearray(archive.read_bytes())
        central = content.index(b"PK\x01\x02")
        content[central + offset] = 77
        archive.write_bytes(content)
        with pytest.raises(ArchiveError, match=f"{name}\\.zip is damaged"):
            unpack(archive, tmp_path / "out")
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cut", [False, True])
def test_a_tar_whose_later_members_are_lost_is_damaged(tmp_path, cut):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("top/a.txt", "top/b.txt"):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    content = path.read_bytes()
    # Two blocks for each member: its header and its content.
    path.write_bytes(content[:1024] if cut else content[:1100] + b"\xff" + content[1101:])
    with pytest.raises(ArchiveError, match=r"a\.tar is damaged: its list of members is cut off or damaged"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
