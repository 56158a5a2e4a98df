"""LibriSpeech and its noisy copy: transcripts, the odd speaker table, noise that is the same everywhere."""

import csv
import shutil

import numpy as np
import pytest
import soundfile

from local.common.audio import AudioError
from local.common.errors import OptionError
from local.common.kaldi_dir import DataError
from local.corpora import demand, librispeech, noisy_librispeech


@pytest.fixture
def speech(tmp_path):
    """LibriSpeech/ with two chapters of test-clean, three utterances each."""
    rng = np.random.default_rng(0)
    root = tmp_path / "noisy_corpora" / "LibriSpeech"
    for speaker, chapter in (("61", "70968"), ("1089", "134686")):
        folder = root / "test-clean" / speaker / chapter
        folder.mkdir(parents=True)
        lines = []
        for i in range(3):
            stem = f"{speaker}-{chapter}-{i:04d}"
            soundfile.write(folder / f"{stem}.flac", 0.1 * rng.standard_normal(8000 + 999 * i), 16000)
            lines.append(f"{stem} HE SAID IT'S {speaker}\n")
        (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines))
    return root


@pytest.fixture
def recordings(tmp_path):
    """A second of noise per environment at 16 kHz, by name; SCAFE at 48 kHz."""
    rng = np.random.default_rng(1)
    root = tmp_path / "demand"
    for name in demand.ENVIRONMENTS:
        rate = 48 if name in demand.ONLY_48K else 16
        path = root / f"{name}_{rate}k" / name / "ch01.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, 0.3 * rng.standard_normal(1000 * rate), 1000 * rate)
    return {name: demand.recording_16k(root, name, made=tmp_path / "made") for name in demand.ENVIRONMENTS}


def make(speech, recordings, out, **changes):
    settings = {"part": "test-clean", "kind": "unseen", "seed": 75, "nj": 1, **changes}
    return noisy_librispeech.generate(speech, recordings, out, **settings)


def manifest(out, name="test-clean_unseen_noisy"):
    with (out / name / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_part_is_listed_with_its_transcripts(speech):
    (speech / "test-clean" / "61" / "70968" / "._61-70968-0000.flac").write_bytes(b"rubbish")
    found = librispeech.utterances(speech, "test-clean", nj=2)
    assert [u.id for u in found][:2] == ["1089-134686-0000", "1089-134686-0001"]
    assert len(found) == 6
    assert found[0].texts == ("HE SAID IT'S 1089",)
    assert found[0].speaker == "1089"
    assert found[0].wav == found[0].references[0]


def test_the_speaker_with_a_separator_in_the_name(tmp_path):
    (tmp_path / "SPEAKERS.TXT").write_text(
        ";ID |SEX| SUBSET | MINUTES| NAME\n60   | M | train-clean-100  | 20.18 | 86 | Jonathan H.\n"
        "61   | F | test-clean       | 8.08  | Paul-Gabriel Wiener\n"
    )
    table = librispeech.speakers(tmp_path)
    assert table["60"] == {"sex": "M", "subset": "train-clean-100", "minutes": "20.18", "name": "86 | Jonathan H."}
    assert table["61"]["sex"] == "F"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: shutil.rmtree(r / "test-clean"), r"unpack test-clean\.tar\.gz"),
        (lambda r: next(r.rglob("*.trans.txt")).unlink(), r"trans\.txt is missing"),
        (
            lambda r: next(r.rglob("*.trans.txt")).write_text("61-70968-0000\n"),
            "line 1: .* has no transcript",
        ),
        (lambda r: next(r.rglob("*.trans.txt")).write_text("61-70968-0009 X\n"), "has no line for"),
        (lambda r: next(r.rglob("*0001.flac")).rename(r / "test-clean" / "x.flac"), "not named like an utterance"),
    ],
)
def test_what_is_missing_is_named(speech, spoil, message):
    librispeech.chapter_transcripts.cache_clear()
    spoil(speech)
    with pytest.raises(DataError, match=message):
        librispeech.utterances(speech, "test-clean")


def test_noise_is_added_at_the_manifests_place_and_level(speech, recordings, tmp_path):
    assert make(speech, recordings, tmp_path / "out") == 6
    rows = manifest(tmp_path / "out")
    assert [row["utterance"] for row in rows] == sorted(row["utterance"] for row in rows)
    for row in rows:
        assert row["environment"] in demand.UNSEEN
        assert row["seed"] == "75"
        clean, _ = soundfile.read(speech / row["source"])
        target = tmp_path / "out" / "test-clean_unseen_noisy" / row["source"].removeprefix("test-clean/")
        noisy, rate = soundfile.read(target)
        noise, _ = soundfile.read(recordings[row["environment"]])
        piece = noise[int(row["start"]) :][: len(clean)]
        assert rate == 16000
        assert len(noisy) == len(clean) == len(piece)
        added = noisy - clean
        assert np.corrcoef(added, piece)[0, 1] > 0.9999
        measured = 10 * np.log10(np.sum(clean**2) / np.sum(added**2))
        assert measured == pytest.approx(float(row["snr"]), abs=0.01)


def test_the_draw_does_not_depend_on_processes_or_the_order_of_files(speech, recordings, tmp_path):
    make(speech, recordings, tmp_path / "one", nj=1)
    make(speech, dict(reversed(recordings.items())), tmp_path / "two", nj=2)
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
    make(speech, recordings, tmp_path / "seen", kind="seen")
    assert {row["environment"] for row in manifest(tmp_path / "seen", "test-clean_seen_noisy")} <= set(demand.SEEN)
    make(speech, recordings, tmp_path / "other", seed=76)
    assert manifest(tmp_path / "other") != manifest(tmp_path / "one")


def test_draws_are_uniform_and_reach_both_ends():
    lengths = {f"p/{i:05d}.flac": 90 for i in range(12_000)}
    drawn = noisy_librispeech.draw(lengths, {"A": 100, "B": 95, "C": 90}, name="x", seed=1)
    for values, expected in (([d.environment for d in drawn], "ABC"), ([d.snr for d in drawn], (20, 10, 5))):
        counts = [values.count(value) for value in expected]
        assert sum(counts) == 12_000
        assert all(3700 < count < 4300 for count in counts)
    assert {d.start for d in drawn if d.environment == "A"} == set(range(11))
    assert {d.start for d in drawn if d.environment == "C"} == {0}
    with pytest.raises(DataError, match=r"p/00000\.flac is longer than the recording of A"):
        noisy_librispeech.draw({"p/00000.flac": 101}, {"A": 100}, name="x", seed=1)


def test_an_interrupted_copy_goes_on(speech, recordings, tmp_path):
    make(speech, recordings, tmp_path / "out")
    files = sorted((tmp_path / "out").rglob("*.flac"))
    contents = [path.read_bytes() for path in files]
    kept = files[0].stat().st_mtime_ns
    files[3].unlink()
    (files[3].parent / f".{files[3].name}.5.tmp").write_bytes(b"half")
    make(speech, recordings, tmp_path / "out")
    assert [path.read_bytes() for path in files] == contents
    assert files[0].stat().st_mtime_ns == kept
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_the_noisy_set_is_listed_with_clean_references(speech, recordings, tmp_path):
    make(speech, recordings, tmp_path / "out")
    found = noisy_librispeech.utterances(tmp_path / "out", speech, part="test-clean", kind="unseen", nj=2)
    rows = {row["utterance"]: row for row in manifest(tmp_path / "out")}
    assert {u.id for u in found} == rows.keys()
    for u in found:
        assert u.references[0] == str(speech / rows[u.id]["source"])
        assert u.wav != u.references[0]
        assert u.category == f"{rows[u.id]['environment']}_{rows[u.id]['snr']}dB"
        assert u.details["start"] == rows[u.id]["start"]
    # The transcripts went with the audio, for tools that look for them there.
    assert len(list((tmp_path / "out").rglob("*.trans.txt"))) == 2
    victim = found[0].wav
    soundfile.write(victim, np.zeros(100), 16000)
    with pytest.raises(DataError, match="is not as long as"):
        noisy_librispeech.utterances(tmp_path / "out", speech, part="test-clean", kind="unseen")
    with pytest.raises(DataError, match=r"manifest\.csv is missing"):
        noisy_librispeech.utterances(tmp_path / "out", speech, part="test-clean", kind="seen")
    with pytest.raises(OptionError, match="choose from seen, unseen"):
        noisy_librispeech.utterances(tmp_path / "out", speech, part="test-clean", kind="heard")


def test_the_environment_at_48_khz_is_resampled_once(recordings, tmp_path):
    path = recordings["SCAFE"]
    assert path == tmp_path / "made" / "SCAFE_16k" / "SCAFE" / "ch01.wav"
    assert soundfile.info(path).samplerate == 16000
    assert soundfile.info(path).frames == 16000
    changed = path.stat().st_mtime_ns
    assert demand.recording_16k(tmp_path / "demand", "SCAFE", made=tmp_path / "made") == path
    assert path.stat().st_mtime_ns == changed
    shutil.rmtree(tmp_path / "demand" / "TBUS_16k")
    with pytest.raises(DataError, match=r"lacks TBUS: unpack TBUS_16k\.zip"):
        demand.recording_16k(tmp_path / "demand", "TBUS", made=tmp_path / "made")


def test_an_utterance_of_another_rate_is_named(speech, recordings, tmp_path):
    victim = next(speech.rglob("*0001.flac"))
    soundfile.write(victim, np.zeros(8000), 8000)
    with pytest.raises(AudioError, match=f"{victim.name}: sampled at 8000 Hz"):
        make(speech, recordings, tmp_path / "out")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source", "sauce", "has no column 'source'"),
        ("test-clean/61", "../61", "line 5: '../61/.*' is no file of test-clean"),
        (",75\n", "\n", "line 2: 5 fields where the header has 6"),
    ],
)
def test_a_damaged_manifest_is_named(speech, recordings, tmp_path, old, new, message):
    make(speech, recordings, tmp_path)
    path = tmp_path / "test-clean_unseen_noisy" / "manifest.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message) as error:
        noisy_librispeech.utterances(tmp_path, speech, part="test-clean", kind="unseen")
    assert str(path) in str(error.value)


@pytest.mark.parametrize("silent", ["speech", "noise"])
def test_without_energy_there_is_no_snr(speech, recordings, tmp_path, silent):
    victim = next((speech / "test-clean").rglob("*.flac")) if silent == "speech" else recordings["NPARK"]
    soundfile.write(victim, np.zeros(16000), 16000)
    with pytest.raises(AudioError, match=rf"{victim.name} is silent.*: there is no SNR"):
        make(speech, recordings if silent == "speech" else dict.fromkeys(recordings, victim), tmp_path)


def test_two_transcripts_of_one_utterance_are_named(speech):
    path = next((speech / "test-clean" / "61").rglob("*.trans.txt"))
    path.write_text(path.read_text() + "61-70968-0000 SHE SAID NO\n")
    with pytest.raises(DataError, match="line 4: utterance '61-70968-0000' comes twice, with different transcripts"):
        librispeech.utterances(speech, "test-clean")
