"""LibriMix: equal, sample for sample, to a plain oracle; resumable; readable wherever it is moved."""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGKILL

import numpy as np
import pytest
import soundfile
from librimix_oracle import Corpus, oracle, plain_sum

from local.common.audio import AudioError
from local.common.errors import OptionError, RecipeError
from local.common.kaldi_dir import DataError
from local.corpora import librimix
from local.corpora.librimix_mixing import extend_noise, generate, read_metadata


def written(signal, rate, path):
    soundfile.write(path, signal, rate)
    return soundfile.read(path, dtype="int16")[0]


@pytest.mark.parametrize("count", [2, 3])
def test_mixtures_equal_the_oracle_sample_for_sample(tmp_path, count):
    corpus = Corpus(tmp_path, rows=8, count=count, seed=count)
    types = ("mix_clean", "mix_both", "mix_single")
    plan = corpus.plan(tmp_path / "out", types=types, modes=("max", "min"), rates=(16000, 8000))
    assert generate(plan, nj=2) == 8
    for sources, noise in corpus.rows:
        name = "_".join(Path(s).stem for s in sources)
        for rate in (16000, 8000):
            for mode in ("max", "min"):
                voices, background = oracle(corpus, sources, noise, corpus.gains[name], rate=rate, mode=mode)
                expected = {f"s{i + 1}": voice for i, voice in enumerate(voices)}
                expected["noise"] = background
                expected["mix_clean"] = plain_sum(voices)
                expected["mix_both"] = plain_sum([*voices, background])
                expected["mix_single"] = plain_sum([voices[0], background])
                for folder, signal in expected.items():
                    path = tmp_path / "out" / f"wav{rate // 1000}k" / mode / "dev" / folder / f"{name}.wav"
                    ours, ours_rate = soundfile.read(path, dtype="int16")
                    assert ours_rate == rate
                    np.testing.assert_array_equal(ours, written(signal, rate, tmp_path / "oracle.wav"), str(path))


def test_only_what_is_asked_is_made(tmp_path):
    corpus = Corpus(tmp_path, rows=3)
    generate(corpus.plan(tmp_path / "out"), nj=1)
    assert {p.name for p in (tmp_path / "out").iterdir() if p.is_dir()} == {"wav16k"}
    assert {p.name for p in (tmp_path / "out/wav16k/max/dev").iterdir()} == {"mix_single", "s1", "noise"}
    generate(corpus.plan(tmp_path / "dry", types=("mix_clean",)), nj=1)
    assert {p.name for p in (tmp_path / "dry/wav16k/max/dev").iterdir()} == {"mix_clean", "s1", "s2"}


def test_tables_hold_relative_paths_lengths_texts_and_snrs(tmp_path):
    corpus = Corpus(tmp_path, rows=6)
    generate(corpus.plan(tmp_path / "out", types=("mix_both",)), nj=2)
    base = tmp_path / "out" / "wav16k" / "max"
    with (base / "metadata" / "mixture_dev_mix_both.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (base / "metadata" / "metrics_dev_mix_both.csv").open() as file:
        metrics = {row["mixture_ID"]: row for row in csv.DictReader(file)}
    assert [row["mixture_ID"] for row in rows] == ["_".join(Path(s).stem for s in r[0]) for r in corpus.rows]
    for row in rows:
        mixture, _ = soundfile.read(base / row["mixture_path"])
        source, _ = soundfile.read(base / row["source_2_path"])
        assert len(mixture) == int(row["length"])
        assert row["source_2_text"] == corpus.texts[row["mixture_ID"].split("_")[1]]
        snr = 10 * np.log10(np.mean(source**2) / np.mean((mixture - source) ** 2))
        assert float(metrics[row["mixture_ID"]]["source_2_SNR"]) == pytest.approx(snr, abs=0.02)


def test_an_interrupted_generation_goes_on_and_ends_the_same(tmp_path):
    corpus = Corpus(tmp_path, rows=9)
    generate(corpus.plan(tmp_path / "whole"), nj=1)
    generate(corpus.plan(tmp_path / "out"), nj=1)
    journal = corpus.plan(tmp_path / "out").journal
    lines = journal.read_text().splitlines(keepends=True)
    # As a kill leaves it: four mixtures recorded, a fifth cut off in the middle of its line.
    journal.write_text("".join(lines[:4]) + lines[4][:20])
    folder = tmp_path / "out" / "wav16k" / "max" / "dev" / "mix_single"
    kept = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    (folder / ".half.wav.99.tmp").write_bytes(b"half")
    shutil.rmtree(tmp_path / "out" / "wav16k" / "max" / "metadata")
    generate(corpus.plan(tmp_path / "out"), nj=2)
    again = {p.name for p in folder.iterdir() if p.stat().st_mtime_ns != kept.get(p.name)}
    names = ["_".join(Path(s).stem for s in r[0]) + ".wav" for r in corpus.rows]
    assert again == set(names[4:])
    for path in (tmp_path / "whole" / "wav16k").rglob("*.*"):
        other = tmp_path / "out" / path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == other.read_bytes(), path


def test_killed_half_way_and_started_again(tmp_path):
    corpus = Corpus(tmp_path, rows=30, each=8)
    plan = corpus.plan(tmp_path / "out")
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:];"
        "from local.corpora.librimix_mixing import Plan, generate;"
        "root = Path(sys.argv[1]);"
        "generate(Plan(metadata=root / 'metadata/libri2mix_dev-clean.csv', librispeech=root / 'LibriSpeech',"
        " wham=root / 'wham_noise', out=root / 'out', split='dev'), nj=2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(Path(librimix.__file__).parents[2])], start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (plan.journal.exists() and plan.journal.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, SIGKILL)
    process.wait()
    recorded = len(plan.journal.read_text().splitlines())
    assert 0 < recorded < 30
    assert generate(plan, nj=2) == 30
    generate(corpus.plan(tmp_path / "whole"), nj=1)
    for path in (tmp_path / "whole" / "wav16k").rglob("*.*"):
        other = tmp_path / "out" / path.relative_to(tmp_path / "whole")
        if path.suffix == ".wav":
            assert path.read_bytes() == other.read_bytes(), path
        else:
            assert sorted(path.read_text().splitlines()) == sorted(other.read_text().splitlines()), path
    assert not list((tmp_path / "out").rglob(".*.tmp"))


def test_mixtures_whose_files_are_gone_are_made_again(tmp_path):
    corpus = Corpus(tmp_path, rows=5)
    plan = corpus.plan(tmp_path / "out")
    generate(plan, nj=1)
    victim = sorted((tmp_path / "out/wav16k/max/dev/noise").iterdir())[2]
    content, table = victim.read_bytes(), tmp_path / "out/wav16k/max/metadata/mixture_dev_mix_single.csv"
    rows = sorted(table.read_text().splitlines())
    victim.unlink()
    generate(plan, nj=1)
    assert victim.read_bytes() == content
    assert sorted(table.read_text().splitlines()) == rows


def test_an_extended_noise_is_continuous_and_begins_as_the_noise():
    noise = np.sin(np.arange(12000) / 50).astype(np.float32)
    extended = extend_noise(noise, 40000)
    assert len(extended) == 40000
    np.testing.assert_array_equal(extended[: 12000 - 8001], noise[: 12000 - 8001])
    assert np.abs(np.diff(extended)).max() < 0.05
    with pytest.raises(DataError, match="more than 8001 are needed"):
        extend_noise(noise[:8001], 40000)


def test_speed_perturbed_noises_are_made_where_they_are_missing(tmp_path):
    corpus = Corpus(tmp_path, rows=4)
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(64000) / 16000)).astype(np.int16)
    soundfile.write(corpus.wham / "cv" / "tone.wav", np.stack([tone, 0 * tone], 1), 16000)
    corpus.rows = [(corpus.rows[0][0], "cv/tonesp08.wav"), (corpus.rows[1][0], "cv/tonesp12.wav")]
    corpus.write_metadata()
    generate(corpus.plan(tmp_path / "out"), nj=1)
    for (sources, _), hertz in zip(corpus.rows, (800, 1200), strict=True):
        name = "_".join(Path(s).stem for s in sources)
        signal, _ = soundfile.read(tmp_path / "out/wav16k/max/dev/noise" / f"{name}.wav")
        spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal))))
        assert np.argmax(spectrum) * 16000 / len(signal) == pytest.approx(hertz, abs=2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: (c.wham / c.rows[0][1]).unlink(), r"cv/0\.wav: no such audio file"),
        (lambda c: next(c.librispeech.rglob("*.trans.txt")).write_text("x Y\n"), "has no line for"),
        (lambda c: c.csv.write_text(c.csv.read_text().replace("source_1_gain", "gain")), "not a row of LibriMix"),
        (lambda c: c.csv.write_text(c.csv.read_text().replace("_6", "_7", 1)), "not made of its sources' names"),
        (lambda c: c.csv.write_text(re.sub(r"[\d.]+$", "nan", c.csv.read_text())), "a gain is no finite number"),
        (lambda c: c.csv.unlink(), "comes with the metadata"),
        (lambda c: c.csv.write_text("mixture_ID,source_1_path,source_1_gain,noise_path,noise_gain\n"), "no mixtures"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, spoil, message):
    corpus = Corpus(tmp_path, rows=8)
    spoil(corpus)
    with pytest.raises((DataError, AudioError), match=message):
        generate(corpus.plan(tmp_path / "out"), nj=1)


@pytest.mark.parametrize("changes", [{"split": "eval"}, {"types": ("mix",)}, {"modes": ("mid",)}, {"rates": (44100,)}])
def test_unknown_choices_are_named(tmp_path, changes):
    corpus = Corpus(tmp_path, rows=2)
    with pytest.raises(OptionError, match="choose from"):
        generate(corpus.plan(tmp_path / "out", **changes), nj=1)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    corpus = Corpus(tmp_path, rows=2)
    (tmp_path / "out" / "wav16k" / "max" / "dev").mkdir(parents=True)
    (tmp_path / "out" / "wav16k" / "max" / "dev" / "s1").write_text("in the way")
    with pytest.raises((RecipeError, FileExistsError), match="s1"):
        generate(corpus.plan(tmp_path / "out"), nj=1)


def test_sets_of_a_corpus_that_was_moved(tiny_corpus, tiny_mixtures, tmp_path):
    moved = tmp_path / "elsewhere" / "Libri2Mix"
    shutil.copytree(tiny_mixtures, moved)
    found = librimix.utterances(moved, "test", librispeech=tiny_corpus / "LibriSpeech", nj=2)
    metadata = tiny_corpus / "LibriMix/metadata/Libri2Mix/libri2mix_test-clean.csv"
    rows = {row.id: row for row in read_metadata(metadata)}
    assert {u.id for u in found} == rows.keys()
    for u in found:
        assert u.wav.startswith(str(moved))
        first, second = (tiny_corpus / "LibriSpeech" / path for path in rows[u.id].sources)
        # max mode: the first speaker is whole, and what follows is noise alone.
        assert u.samples == max(soundfile.info(p).frames for p in (first, second))
        transcripts = first.with_name("-".join(first.stem.split("-")[:2]) + ".trans.txt").read_text()
        assert f"{first.stem} {u.texts[0]}\n" in transcripts
        mixture, reference, noise = (soundfile.read(p)[0] for p in (u.wav, u.references[0], u.noise))
        assert np.abs(mixture - reference - noise).max() <= 2 / 32768
        assert u.category == librimix.snr_class(float(u.details["snr"]))
    quiet = librimix.utterances(moved, "test", librispeech=tiny_corpus / "LibriSpeech", input="clean")
    assert [u.wav for u in quiet] == [u.references[0] for u in quiet]


def test_an_incomplete_corpus_is_named(tiny_corpus, tiny_mixtures, tmp_path):
    moved = tmp_path / "Libri2Mix"
    shutil.copytree(tiny_mixtures, moved)
    victim = min((moved / "wav16k/max/test/s1").iterdir())
    victim.unlink()
    with pytest.raises(DataError, match=f"s1 lacks 1 files, the first is {victim.name}"):
        librimix.utterances(moved, "test", librispeech=tiny_corpus / "LibriSpeech")
    shutil.copy(min((tiny_mixtures / "wav16k/max/test/s1").iterdir()), victim)
    for part in ("s1", "noise", "mix_single"):
        (moved / "wav16k/max/test" / part / victim.name).unlink()
    with pytest.raises(DataError, match=f"mix_single lacks 1 mixtures of its table, the first is {victim.name}"):
        librimix.utterances(moved, "test", librispeech=tiny_corpus / "LibriSpeech")
    with pytest.raises(DataError, match="holds no mixtures"):
        librimix.utterances(moved, "train-360", librispeech=tiny_corpus / "LibriSpeech")
    with pytest.raises(OptionError, match="no split 'eval'"):
        librimix.utterances(moved, "eval", librispeech=tiny_corpus / "LibriSpeech")


def test_mixtures_without_an_snr_are_counted_and_a_damaged_table_is_named(tmp_path, capsys):
    corpus = Corpus(tmp_path, rows=3)
    generate(corpus.plan(tmp_path / "out"), nj=1)
    path = tmp_path / "out" / "wav16k" / "max" / "metadata" / "metrics_dev_mix_single.csv"
    content = path.read_text()

    def list_them():
        return librimix.utterances(tmp_path / "out", "dev", librispeech=corpus.plan(tmp_path).librispeech)

    path.unlink()
    assert {u.category for u in list_them()} == {"mix_single"}
    assert "LibriMix dev: 3 of 3 mixtures have no SNR in the tables beside them" in capsys.readouterr().out
    for damaged, message in (
        (content.replace("mixture_ID", "id"), "no column"),
        ("mixture_ID,source_1_SNR\nx,loud\n", "line 2: 'loud' is not an SNR"),
        ("mixture_ID,source_1_SNR\nx,nan\n", "line 2: 'nan' is not an SNR"),
        ("mixture_ID,source_1_SNR\nx,inf\n", "line 2: 'inf' is not an SNR"),
    ):
        path.write_text(damaged)
        with pytest.raises(DataError, match=message) as error:
            list_them()
        assert str(path) in str(error.value)
    path.write_text(content)
    for file in (tmp_path / "out").rglob("*.wav"):
        file.rename(file.with_name(file.name.replace("-", "+")))
    path.unlink()
    with pytest.raises(DataError, match="is not named like an utterance of LibriSpeech"):
        list_them()


@pytest.mark.parametrize("damage", ["{", "[]\n", '{"id": 3}\n', '{"x": 1}\n', "\0\0\n"])
def test_a_damaged_journal_costs_its_line_alone(tmp_path, damage):
    corpus = Corpus(tmp_path, rows=3)
    plan = corpus.plan(tmp_path / "out")
    generate(plan, nj=1)
    first, *others = plan.journal.read_text().splitlines(keepends=True)
    files = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").rglob("*.wav")}
    plan.journal.write_text("".join([*others, damage]))
    assert generate(plan, nj=1) == 3
    assert sorted(plan.journal.read_text().splitlines(keepends=True)) == sorted([first, *others])
    assert {path: path.read_bytes() for path in files} == {path: content for path, (_, content) in files.items()}
    made_again = [path for path, (time, _) in files.items() if path.stat().st_mtime_ns != time]
    assert len(made_again) == 3
