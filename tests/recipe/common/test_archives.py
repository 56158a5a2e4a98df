"""omniio and kaldiio: the same bytes, each reads what the other wrote; a place that is none is one error."""

import io

import numpy as np
import pytest

from local.common import archives
from local.common.errors import RecipeError
from local.common.signals import load_audio

SIGNALS = {f"utt{k}": (3000 * np.random.default_rng(k).standard_normal(400 * k + 1)).astype(np.int16) for k in range(3)}


@pytest.fixture(params=["kaldiio", "omniio.kaldi"])
def library(request, monkeypatch):
    """Each in turn."""
    library = pytest.importorskip(request.param)
    monkeypatch.setattr(archives, "_library", lambda: library)


def write(path):
    with path.open("wb") as archive:
        places = {name: archives.append_flac(archive, name, signal, rate=16000) for name, signal in SIGNALS.items()}
    path.with_suffix(".scp").write_text("".join(f"{name} {path}:{place}\n" for name, place in places.items()))
    return path.read_bytes()


def test_they_write_the_same_and_read_each_other(tmp_path, monkeypatch):
    libraries = [pytest.importorskip(name) for name in ("kaldiio", "omniio.kaldi")]
    written = []
    for index, library in enumerate(libraries):
        monkeypatch.setattr(archives, "_library", lambda library=library: library)
        written.append(write(tmp_path / f"{index}.ark"))
    assert written[0] == written[1]
    found = archives.read_list(str(tmp_path / "0.scp"))
    assert sorted(found) == sorted(SIGNALS)


@pytest.mark.usefixtures("library")
def test_signals_come_back_and_other_places_are_one_error(tmp_path):
    write(tmp_path / "a.ark")
    for name, (rate, samples) in archives.read_list(str(tmp_path / "a.scp")).items():
        assert rate == 16000
        np.testing.assert_array_equal(np.rint(samples * 32768), SIGNALS[name])
    for place in ("a.ark:99999", "a.ark:1", "gone.ark:4", "a.scp:2"):
        with pytest.raises(RecipeError, match="cannot be read as audio"):
            load_audio(f"{tmp_path}/{place}")


def test_the_end_of_a_file_is_where_the_next_signal_goes():
    archive = io.BytesIO(b"1234")
    archive.seek(0, io.SEEK_END)
    assert archives.append_flac(archive, "a", SIGNALS["utt1"], rate=16000) == 6
