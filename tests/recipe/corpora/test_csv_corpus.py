"""An own corpus: a CSV per set, faults named with file and line."""

import numpy as np
import pytest
import soundfile
from stages import Stages

from local.common.kaldi_dir import DataError, read
from local.common.steps import RecipeError
from local.corpora import catalogue, csv_corpus
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
        ([f"{HEAD},colour", "a,b,c,d,e,f"], "unknown column 'colour'"),
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
    assert "custom (corpora/custom): changed since the last run (test.csv:" in capsys.readouterr().out
    assert len(read(stages.root / "dump" / "test_noisy")) == 3
