"""Downloads against a server with faults: resumed, verified, and a clean folder whatever happens."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from file_server import FileServer

from local.corpora import download
from local.corpora.download import DownloadError, check_space, fetch, fetch_all
from local.corpora.registry import Archive

CONTENT = random.Random(0).randbytes(600_000)


@pytest.fixture
def server():
    server = FileServer()
    server.files["a.bin"] = CONTENT
    yield server
    server.close()


def archive(*urls, name="a.bin", checksum="right", size=600_000):
    digest = hashlib.sha256(CONTENT).hexdigest() if checksum == "right" else checksum
    return Archive(
        name=name,
        urls=urls,
        size=size,
        about=len(CONTENT),
        unpacked=len(CONTENT),
        checksum=f"sha256:{digest}" if digest else None,
        into="",
        take="",
        only="",
        provides=(name,),
        parts=(),
    )


def get(wanted, folder):
    """Fetch without waiting between attempts; gives the file and the waits that would have been made."""
    waits = []
    return fetch(wanted, folder, wait=waits.append), waits


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_is_fetched_and_verified(server, tmp_path):
    path, waits = get(archive(f"{server.url}/a.bin"), tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert (names(path.parent), waits) == (["a.bin"], [])
    # What is there is verified rather than fetched again.
    get(archive(f"{server.url}/a.bin"), path.parent)
    assert len(server.requests) == 1
    path.write_bytes(b"x" + CONTENT[1:])
    with pytest.raises(DownloadError, match="is damaged: its sha256 is"):
        get(archive(f"{server.url}/a.bin"), path.parent)


def test_a_partial_file_is_gone_on_with(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:200_000])
    get(archive(f"{server.url}/a.bin"), tmp_path)
    assert server.requests == [("a.bin", "bytes=200000-")]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_is_asked_for_everything(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(b"y" * 200_000)
    get(archive(f"{server.url}/a.bin"), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_partial_file_longer_than_the_whole_is_begun_anew(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    get(archive(f"{server.url}/a.bin", size=None), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_answers_that_break_off_are_gone_on_with_while_they_bring_more(server, tmp_path):
    server.cut = 70_000
    _, waits = get(archive(f"{server.url}/a.bin"), tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    # 64 kB of each 70 kB count: the rest is lost with the connection.
    assert len(server.requests) == 10
    # Every attempt brought something, so that none had to wait longer than the first.
    assert set(waits) == {1.0}


def test_a_server_that_always_breaks_off_without_ranges_is_an_error(server, tmp_path):
    server.cut, server.ranges = 70_000, False
    with pytest.raises(DownloadError, match=r"cannot download a\.bin") as error:
        get(archive(f"{server.url}/a.bin"), tmp_path)
    assert "\n" not in str(error.value)
    assert len(server.requests) <= 10


def test_waiting_doubles_and_ends_in_the_next_mirror(server, tmp_path):
    server.failures = 5
    path, waits = get(archive(f"{server.url}/a.bin", f"{server.url}/a.bin"), tmp_path)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "missing.bin"}, "the server answers 404"),
        ({"checksum": "0" * 64}, "its sha256 is .*, not 0000"),
        ({"size": len(CONTENT) + 1, "checksum": None}, "it has 600000 bytes, not 600001"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_left(server, tmp_path, change, message):
    url = change.pop("url", "a.bin")
    with pytest.raises(DownloadError, match=message) as error:
        get(archive(f"{server.url}/{url}", **change), tmp_path / "new")
    assert url in str(error.value)
    assert names(tmp_path / "new") == []


def test_a_mirror_serves_what_the_first_address_does_not(server, tmp_path):
    nobody = "http://127.0.0.1:9"
    wanted = archive(f"{nobody}/a.bin", f"{server.url}/missing.bin", f"{server.url}/a.bin")
    path, waits = get(wanted, tmp_path)
    assert path.read_bytes() == CONTENT
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_several_files_come_at_a_time_and_in_order(server, tmp_path):
    wanted = []
    for i in range(5):
        server.files[f"{i}.bin"] = CONTENT[: 1000 + i]
        checksum = hashlib.sha256(CONTENT[: 1000 + i]).hexdigest()
        wanted.append(archive(f"{server.url}/{i}.bin", name=f"{i}.bin", checksum=checksum, size=1000 + i))
    paths = fetch_all(wanted, tmp_path, parallel=3)
    assert [path.stat().st_size for path in paths] == [1000, 1001, 1002, 1003, 1004]


def test_killed_at_a_third_and_started_again(server, tmp_path):
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:];"
        "from test_download import archive; from local.corpora.download import fetch;"
        "fetch(archive(sys.argv[1]), Path('.'))"
    )
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), str(Path(download.__file__).parents[2])]
    server.pause = 0.05
    process = subprocess.Popen([sys.executable, "-c", code, f"{server.url}/a.bin", *paths], cwd=tmp_path)
    part = tmp_path / "a.bin.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 0.3 * len(CONTENT)) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = part.stat().st_size
    assert 0.3 * len(CONTENT) < kept < len(CONTENT)
    server.pause, server.requests = 0.0, []
    get(archive(f"{server.url}/a.bin"), tmp_path)
    assert server.requests == [("a.bin", f"bytes={kept}-")]
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_full_disk_is_one_line_and_a_clean_folder(server, small_disk):
    with pytest.raises(DownloadError, match=r"cannot write .*: No space left on device"):
        get(archive(f"{server.url}/a.bin"), small_disk / "downloads")
    assert names(small_disk / "downloads") == []


def test_space_is_checked_beforehand(tmp_path):
    check_space(tmp_path / "not" / "yet", 1000, what="a corpus")
    with pytest.raises(DownloadError, match=r"a corpus takes 1024\.0 TB at the peak, .* are free"):
        check_space(tmp_path, 1 << 50, what="a corpus")
