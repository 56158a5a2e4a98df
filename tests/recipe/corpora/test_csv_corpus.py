"""An own corpus: a CSV per set, faults named with file and line."""

import re

import numpy as np
import pytest
import soundfile
from stages import Stages

from local.common.errors import RecipeError
from local.common.kaldi_dir import DataError, read
from local.corpora import catalogue, clean_speech, csv_corpus
from local.pipeline import dry_run
from local.stages import data

HEAD = "utt,clean,noisy,text,speaker"


@pytest.fixture
def table(tmp_path):
    """Writes a CSV beside clean/ and noisy/ with files a, b, c at 22,050 Hz; gives its path."""
    rng = np.random.default_rng(0)
    for folder in ("clean", "noisy"):
        (tmp_path / folder).mkdir()
        for i, name in enumerate("abc"):
            soundfile.write(tmp_path / folder / f"{name}.wav", 0.1 * rng.standard_normal(9000 + i), 22050)

    def write(*lines, name="test.csv"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def row(name, **changes):
    fields = {
        "utt": name,
        "clean": f"clean/{name}.wav",
        "noisy": f"noisy/{name}.wav",
        "text": "Hello!",
        "speaker": "ann",
    }
    return ",".join({**fields, **changes}.values())


def test_rows_become_utterances(table):
    path = table(f"{HEAD},noise,snr", row("a") + ",bus,2.5", row("b", utt="ann_b") + ",,", row("c") + ",,-3")
    found = csv_corpus.utterances(path, nj=2)
    assert [u.id for u in found] == ["ann-a", "ann_b", "ann-c"]
    assert [u.category for u in found] == ["bus_2.5dB", "all", "snr-5to0dB"]
    assert found[0].texts == ("HELLO",)
    assert (found[1].samples, found[1].rate) == (9001, 22050)
    assert found[0].details == {"noise": "bus", "snr": "2.5"}
    assert csv_corpus.utterances(path, input="clean")[0].wav == found[0].references[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["utt,clean,noisy,text", "a,b,c,d"], "has no column 'speaker'"),
        ([f"{HEAD},color", "a,b,c,d,e,f"], "unknown column 'color'"),
        ([HEAD], "has no rows"),
        ([HEAD, row("a"), row("b", text=" ")], "line 3: 'text' is empty"),
        ([HEAD, row("a", noisy="noisy/b.wav")], r"b\.wav has 9001 samples and .*a\.wav has 9000"),
        ([HEAD, row("x")], r"x\.wav: no such audio file"),
        ([f"{HEAD},snr", row("a") + ",loud"], "utterance 'a': 'loud' is not an SNR in dB"),
    ],
)
def test_faults_are_named(table, lines, message):
    with pytest.raises(RecipeError, match=message):
        csv_corpus.utterances(table(*lines))


FULL = f"{HEAD},noise,snr"
TEXT = "It's d\u00e9j\u00e0 vu, Ann"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_whatever_a_spreadsheet_saves_is_read_right(table, tmp_path, encoding, delimiter, end):
    snr = "2,5" if delimiter == ";" else "2.5"
    fields = [FULL.split(","), ["a", "clean\\a.wav", "noisy/a.wav", f'"{TEXT}"', "ann", "bus", snr, "", ""], [""] * 9]
    path = tmp_path / "saved.csv"
    path.write_bytes(end.join(delimiter.join(line) for line in fields).encode(encoding))
    (found,) = csv_corpus.utterances(path)
    assert found.texts == ("IT'S D\u00c9J\u00c0 VU ANN",)
    assert (found.category, found.details["snr"]) == ("bus_2.5dB", "2.5")
    assert found.references == (str(tmp_path / "clean/a.wav"),)


def test_the_separator_may_be_declared(table, tmp_path):
    path = table("sep=|", HEAD.replace(",", "|"), row("a", text="Yes, no").replace(",", "|", 3).replace("no,", "no|"))
    assert csv_corpus.utterances(path)[0].texts == ("YES NO",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEAD, row("a"), row("b", text="Well, Ann")], "line 3: 6 fields where the header has 5: put a text with ','"),
        # With an optional column left out the comma would shift the fields in silence.
        ([f"{HEAD},noise", row("a", text="Well, Ann")], "line 2: the field 'speaker' begins with a blank"),
        ([f"{HEAD},noise", row("a", text="Well,Ann now")], "line 2: speaker is 'Ann now', which is not one word"),
        ([FULL, row("a", text="Well, Ann") + ",bus,2"], "line 2: 8 fields where the header has 7"),
        ([FULL, row("a")], "line 2: 5 fields where the header has 7"),
        ([HEAD, row("a"), row("b", text='"Not closed'), row("c")], "line 4: (unexpected end of data|the field)"),
        ([HEAD, row("a", text='"two\nlines"')], "line 3: the field 'text' goes over several lines"),
        ([f"{HEAD},text", row("a") + ",x"], "the column 'text' is there twice"),
        (["a;b;c", "1;2;3"], r"has no column 'utt': needed are .* \(it has a, b, c\)"),
        ([f"{HEAD},snr", row("a") + ",nan"], "'nan' is not an SNR in dB"),
    ],
)
def test_what_would_shift_is_refused(table, lines, message):
    with pytest.raises(DataError, match=message):
        csv_corpus.utterances(table(*lines))


ROWS = "\n".join([HEAD, row("a"), row("b", text=TEXT)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ROWS.encode("cp1252"), r"line 3: byte 0xe9 is not UTF-8 .*CSV UTF-8"),
        (b"PK\x03\x04" + bytes(40), r"is a spreadsheet \(\.xlsx or \.ods\), not a table of text"),
        (b"\xd0\xcf\x11\xe0" + bytes(40), r"is a spreadsheet \(\.xls\)"),
        (f"{HEAD}\n".encode() + bytes(250), "line 2: holds a NUL|is not UTF-16"),
        (f"{HEAD}\n{'x' * 250}\0".encode(), "line 2: holds a NUL"),
        (b"", "has no column 'utt'.*it has nothing"),
        (ROWS.encode("utf-16")[:-1], "is not UTF-16"),
    ],
)
def test_what_is_no_such_table_is_refused(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        csv_corpus.read_rows(tmp_path / "t.csv")


def test_a_missing_table_says_what_to_write(tmp_path):
    with pytest.raises(DataError, match="write it with the columns utt,clean,noisy,text,speaker"):
        csv_corpus.utterances(tmp_path / "train.csv")


def test_the_preset_prepares_it_and_sees_a_change(table, tmp_path, monkeypatch, capsys):
    (tmp_path / "run").mkdir()
    stages = Stages(tmp_path / "run", monkeypatch, extends="custom", corpora={}, vocabulary=10)
    monkeypatch.setenv("CUSTOM", str(tmp_path))
    with pytest.raises(DataError, match=r"test\.csv is missing"):
        stages(catalogue)
    rows = [row("a", utt="ann_a"), row("b")]
    for name in ("train", "dev", "test"):
        table(HEAD, *rows, name=f"{name}.csv")
    stages(dry_run)
    plan = capsys.readouterr().out
    # Four sets (the test set clean and noisy) of pairs of 9,000 and 9,001 samples, FLAC of about 0.6 of 16 bits.
    seconds = 4 * (9000 + 9001) / 22050
    assert f"dump: about {seconds * 2 * 32000 * 0.6 / 1024:.1f} kB" in plan
    stages(catalogue)
    stages(data)
    assert [u.id for u in read(stages.root / "dump" / "test_noisy")] == ["ann-b", "ann_a"]
    capsys.readouterr()
    table(HEAD, *rows, row("c"), name="test.csv")
    stages(catalogue)
    stages(data)
    assert "custom (corpora/custom): changed since the last run (test.csv." in capsys.readouterr().out
    assert len(read(stages.root / "dump" / "test_noisy")) == 3
    # Other audio in the same place, of the same length: the table says nothing of it.
    noisy = tmp_path / "noisy" / "a.wav"
    archives = stages.root / "dump" / "test_noisy"
    before = [path.read_bytes() for path in sorted(archives.rglob("*.ark"))]
    samples, rate = soundfile.read(noisy)
    soundfile.write(noisy, samples / 2, rate)
    stages(catalogue)
    stages(data)
    changed = re.findall(r"custom \(corpora/custom\): changed since the last run \((.*)\)", capsys.readouterr().out)
    # Each of the three tables names it.
    assert re.findall(r"[\w.]+(?=: )", changed[0]) == [f"{name}.csv.audio" for name in ("dev", "test", "train")]
    assert [path.read_bytes() for path in sorted(archives.rglob("*.ark"))] != before
    # The same audio written again is no change.
    noisy.write_bytes(noisy.read_bytes())
    stages(catalogue)
    assert "custom (corpora/custom): nothing to do" in capsys.readouterr().out


def test_a_text_in_a_files_place_and_an_odd_separator_are_named(table, tmp_path):
    long = "x" * 300
    path = table("utt,clean,noisy,text,speaker", f"a1,{long},{long},YES,a")
    with pytest.raises(RecipeError, match="xxx: cannot be read: File name too long"):
        csv_corpus.utterances(path)
    path.write_text('sep="\nutt"clean"noisy"text"speaker\n')
    with pytest.raises(RecipeError, match=r"test\.csv"):
        csv_corpus.utterances(path)


@pytest.mark.parametrize("name", ["/", ".", "..", "clean", "/dev/zero", "none.wav", "x" * 300])
@pytest.mark.parametrize("column", ["clean", "noisy"])
def test_a_row_that_names_no_audio_file_is_named_with_its_table(table, name, column):
    """A path such as `/` tells nobody where it came from."""
    path = table(HEAD, row("a"), row("b", **{column: name}))
    with pytest.raises(RecipeError, match=r"test\.csv, utterance 'b': .*(file|cannot be read)"):
        csv_corpus.utterances(path)
    if column == "clean":
        with pytest.raises(RecipeError, match=r"test\.csv, line 3: .*(file|cannot be read)"):
            clean_speech.from_table(path)


@pytest.mark.parametrize("column", ["clean", "noisy"])
def test_a_pair_that_cannot_be_used_is_named_with_its_table(table, tmp_path, column):
    soundfile.write(tmp_path / "short.wav", np.full(5, 0.1), 22050)
    (tmp_path / "damaged.wav").write_bytes(b"RIFF")
    for name, message in (("short.wav", "not aligned"), ("damaged.wav", "damaged")):
        with pytest.raises(RecipeError, match=rf"test\.csv, utterance 'b': .*{message}"):
            csv_corpus.utterances(table(HEAD, row("a"), row("b", **{column: name})))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([row("a"), row("a", utt="ann-a")], r"line 3: the id 'ann-a' comes twice, first in line 2"),
        ([row("a"), row("b", utt="../b")], r"line 3: the id 'ann-\.\./b' must hold no '/'"),
    ],
)
def test_files_are_named_by_ids(table, lines, message):
    """Two of one id, or of one name in two folders, would be one file; `..` would lie outside."""
    with pytest.raises(RecipeError, match=rf"test\.csv, {message}"):
        clean_speech.from_table(table(HEAD, *lines))
