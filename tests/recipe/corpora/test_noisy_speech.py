"""Any speech with any noises: from folders to the dump, drawn the same everywhere, faults named."""

import csv
import shutil

import numpy as np
import pytest
import soundfile
from levels import active_snr
from scipy.io import savemat
from stages import Stages

from local.common.audio import AudioError
from local.common.errors import MissingInput, OptionError, RecipeError
from local.common.kaldi_dir import NO_TRANSCRIPT, read, read_table
from local.corpora import catalogue, clean_speech, noise_folder, room_responses
from local.corpora.clean_speech import Speech
from local.corpora.mixing import active_rms
from local.corpora.noisy_mixing import Mixture, mix
from local.pipeline import dry_run
from local.pipeline.options import parse
from local.stages import data

SAMPLE_RATE = 16000
OPTIONS = {
    "seed": 3,
    "parts": {"train": ["train-clean-100"], "dev": ["test-other"], "test": ["test-other"]},
    "speakers": {"dev": 0.3},
    "unseen": ["hum"],
    "snr": {"train": [10, 0], "test": [5]},
}
SETS = {
    "ns_train": {"split": "train", "transcripts": False},
    "ns_dev": {"split": "dev"},
    "seen": {"split": "test"},
    "unseen": {"split": "test", "noise": "unseen", "most": 4},
}


def voice(rng, seconds, rate=SAMPLE_RATE):
    """Noise in bursts, as loud as speech; what is loud and what is a pause is clear."""
    envelope = np.repeat(rng.uniform(0.3, 1, int(seconds * 10)), rate // 10)
    return 0.05 * envelope * rng.standard_normal(len(envelope))


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Speech as LibriSpeech keeps it, some without transcripts; noise of four kinds; two rooms."""
    root, rng = tmp_path_factory.mktemp("a site"), np.random.default_rng(0)
    for part, speakers in (("train-clean-100", (11, 12, 13)), ("test-other", (21, 22, 23))):
        for speaker in speakers:
            folder = root / "speech" / part / str(speaker) / "7"
            folder.mkdir(parents=True)
            names = [f"{speaker}-7-{i:04d}" for i in range(3)]
            for i, name in enumerate(names):
                soundfile.write(folder / f"{name}.flac", voice(rng, 1.2 + 0.4 * i), SAMPLE_RATE)
            if speaker != 12:
                (folder / f"{speaker}-7.trans.txt").write_text("".join(f"{name} WELL SAID\n" for name in names))
    noise = root / "noise"
    (noise / "hum").mkdir(parents=True)
    soundfile.write(noise / "rain.ogg", 0.1 * rng.standard_normal((44100 * 6, 2)), 44100)
    soundfile.write(noise / "hum" / "1.wav", 0.1 * rng.standard_normal(8000 * 5), 8000)
    soundfile.write(noise / "hum" / "2 b.flac", 0.1 * rng.standard_normal(48000 * 4), 48000)
    soundfile.write(noise / "bell.wav", 0.1 * rng.standard_normal(24000 * 2), 24000, subtype="FLOAT")
    (noise / "LICENSES.md").write_text("CC0")
    rooms = root / "rooms"
    rooms.mkdir()
    response = np.exp(-np.arange(8000) / 800) * rng.standard_normal(8000) * 0.1
    response[100] = 2.0
    soundfile.write(rooms / "hall.wav", response / 2, 32000, subtype="FLOAT")
    savemat(rooms / "cell.mat", {"air": {"h": response[None, :], "fs": 16000}})
    return root


@pytest.fixture
def stages(material, tmp_path, monkeypatch):
    for name in ("LIBRISPEECH", "NOISE", "RIRS", "SPEECH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIBRISPEECH", str(material / "speech"))
    monkeypatch.setenv("NOISE", str(material / "noise"))
    sets = {name: {"corpus": "noisy_speech", **spec} for name, spec in SETS.items()}
    return Stages(
        tmp_path,
        monkeypatch,
        extends="noisy_speech",
        corpora={"noisy_speech": {**OPTIONS, "speakers": {"dev": 0.3}}},
        sets=sets,
        train=["ns_train"],
        dev=["ns_dev"],
        test=["seen", "unseen"],
    )


def manifests(root):
    found = {}
    for path in sorted((root / "data" / "corpora" / "noisy_speech").glob("*/manifest.csv")):
        found[path.parent.name.rsplit("_", 1)[0]] = list(csv.DictReader(path.open()))
    return found


def test_it_goes_from_folders_to_archives(stages, material):
    stages(catalogue, "--nj", "1")
    stages(data, "--nj", "1")
    rows = manifests(stages.root)
    # Six recordings per pair of speakers; one of three test speakers is for development.
    assert {name: len(found) for name, found in rows.items()} == {
        "train_seen": 9,
        "dev_seen": 3,
        "test_seen": 6,
        "test_unseen": 4,
    }
    speakers = {name: {row["speaker"] for row in found} for name, found in rows.items()}
    assert speakers["train_seen"] == {"11", "12", "13"}
    assert speakers["dev_seen"] | speakers["test_seen"] == {"21", "22", "23"}
    assert not speakers["dev_seen"] & speakers["test_seen"]
    assert {row["noise"] for row in rows["train_seen"]} <= {"rain", "bell"}
    assert {row["noise"] for row in rows["test_unseen"]} == {"hum"}
    assert {row["snr"] for row in rows["train_seen"]} == {"10", "0"}
    assert {row["snr"] for row in rows["test_seen"]} == {"5"}
    for row in rows["test_seen"]:
        folder = next((stages.root / "data" / "corpora" / "noisy_speech").glob("test_seen_*"))
        clean, noisy = (soundfile.read(folder / row[side])[0] for side in ("clean", "noisy"))
        assert active_snr(clean, noisy, SAMPLE_RATE) == pytest.approx(5, abs=0.2)
        # The second part of a recording is for tests; one that is too short is repeated, from anywhere in it.
        border = {"rain": 0.6 * 6, "bell": 0.6 * 2}[row["noise"]] * SAMPLE_RATE
        assert int(row["start"]) >= int(border) - 1
        assert row["looped"] == str(int(row["noise"] == "bell"))
    train = {u.id: u.texts[0] for u in read(stages.root / "dump" / "train")}
    assert {name for name, text in train.items() if text == NO_TRANSCRIPT} == {f"12-7-{i:04d}" for i in range(3)}
    transcribed = read_table(stages.root / "dump" / "train" / "transcribed" / "text_spk1")
    assert set(transcribed.values()) == {"WELL SAID"}
    assert len(transcribed) == 6
    assert not (stages.root / "dump" / "dev" / "transcribed").exists()
    tokens = (stages.root / "dump" / "tokens" / "tokens.txt").read_text().split()
    assert "<no_transcript>" not in tokens
    assert "_" not in tokens


def test_what_is_drawn_does_not_depend_on_processes_or_places(stages, material, tmp_path, monkeypatch, capsys):
    stages(catalogue, "--nj", "1")
    first = manifests(stages.root)
    audio = {p.name: p.read_bytes() for p in (stages.root / "data").rglob("noisy/*.flac")}
    shutil.copytree(material, tmp_path / "elsewhere")
    shutil.rmtree(stages.root / "data")
    monkeypatch.setenv("LIBRISPEECH", str(tmp_path / "elsewhere" / "speech"))
    monkeypatch.setenv("NOISE", str(tmp_path / "elsewhere" / "noise"))
    stages(catalogue, "--nj", "3")
    assert manifests(stages.root) == first
    assert {p.name: p.read_bytes() for p in (stages.root / "data").rglob("noisy/*.flac")} == audio
    # Moved folders are no change; another recording is.
    capsys.readouterr()
    monkeypatch.setenv("NOISE", str(material / "noise"))
    stages(catalogue, "--nj", "1")
    assert all(line.endswith("nothing to do") for line in capsys.readouterr().out.splitlines())
    (tmp_path / "elsewhere" / "noise" / "hum" / "1.wav").rename(tmp_path / "elsewhere" / "noise" / "hum" / "3.wav")
    monkeypatch.setenv("NOISE", str(tmp_path / "elsewhere" / "noise"))
    stages(catalogue, "--nj", "1")
    assert "noise (corpora/noisy_speech): changed since the last run (recordings:" in capsys.readouterr().out
    # So is one that only sounds otherwise, of the same name and size.
    louder = tmp_path / "elsewhere" / "noise" / "hum" / "3.wav"
    samples, rate = soundfile.read(louder)
    soundfile.write(louder, samples * 1.1, rate)
    stages(catalogue, "--nj", "1")
    assert "noise (corpora/noisy_speech): changed since the last run (recordings:" in capsys.readouterr().out


def test_speech_in_rooms_is_compared_with_what_arrives_directly(stages, material, monkeypatch):
    monkeypatch.setenv("RIRS", str(material / "rooms"))
    stages(catalogue, "--nj", "1")
    rows = manifests(stages.root)["train_seen"]
    assert {row["rir"] for row in rows} == {"hall.wav", "cell.mat"}
    folder = next((stages.root / "data" / "corpora" / "noisy_speech").glob("train_seen_*"))
    for row in rows:
        source = next((material / "speech").rglob(row["source"]))
        dry, (direct, _) = soundfile.read(source)[0], soundfile.read(folder / row["clean"])
        response = room_responses.load_response(material / "rooms" / row["rir"])
        expected = np.convolve(dry, response[: SAMPLE_RATE // 20])[: len(dry)] * float(row["gain"])
        np.testing.assert_allclose(direct, expected, atol=1.1 / 32768 + 1e-5)


def test_a_set_stays_out_of_rooms_or_asks_for_them(stages, material, monkeypatch):
    sets = stages.defaults["sets"]
    asking = {
        **sets,
        "seen": {**sets["seen"], "reverberant": True},
        "ns_train": {**sets["ns_train"], "reverberant": False},
    }
    stages.write(sets=asking)
    with pytest.raises(OptionError, match=r"a set of test asks for rooms .* with --rirs"):
        stages(catalogue, "--nj", "1")
    monkeypatch.setenv("RIRS", str(material / "rooms"))
    stages(catalogue, "--nj", "1")
    rooms = {name: {row["rir"] for row in rows} for name, rows in manifests(stages.root).items()}
    assert rooms["train_seen"] == {""}
    assert rooms["test_seen"] == {"hall.wav", "cell.mat"}


def test_other_responses_of_the_same_names_are_a_change(stages, material, tmp_path, monkeypatch, capsys):
    shutil.copytree(material / "rooms", tmp_path / "rooms")
    monkeypatch.setenv("RIRS", str(tmp_path / "rooms"))
    stages(catalogue, "--nj", "1")
    before = manifests(stages.root)
    response, rate = soundfile.read(tmp_path / "rooms" / "hall.wav")
    soundfile.write(tmp_path / "rooms" / "hall.wav", response[::-1], rate, subtype="FLOAT")
    stages(catalogue, "--nj", "1")
    assert "changed since the last run (rirs.hall.wav:" in capsys.readouterr().out
    assert manifests(stages.root).keys() == before.keys()


def test_every_damaged_response_is_named_before_anything_is_mixed(stages, material, tmp_path, monkeypatch):
    rooms = tmp_path / "rooms"
    shutil.copytree(material / "rooms", rooms)
    # Flags that promise what is not there: scipy's reader has ended the whole process for it.
    savemat(rooms / "flat.mat", {"h": np.ones(400, np.float32), "fs": 16000})
    content = bytearray((rooms / "flat.mat").read_bytes())
    content[145] = 143
    (rooms / "flat.mat").write_bytes(content)
    soundfile.write(rooms / "silent.wav", np.zeros(100), 16000)
    with pytest.raises(AudioError, match=r"flat\.mat: .*; .*silent\.wav: the response is silent"):
        room_responses.check_responses(room_responses.find_responses(rooms), nj=2)
    monkeypatch.setenv("RIRS", str(rooms))
    with pytest.raises(RecipeError, match=r"flat\.mat: .*; .*silent\.wav: the response is silent"):
        stages(catalogue, "--nj", "1")
    assert not [*stages.root.rglob("manifest.csv")]


@pytest.mark.parametrize(("of_speech", "of_noise"), [(0.0, 0.02), (0.02, 0.0), (-0.02, 0.03)])
def test_a_recorders_offset_is_neither_speech_nor_noise(tmp_path, of_speech, of_noise):
    rng = np.random.default_rng(5)
    soundfile.write(tmp_path / "u.wav", 0.1 * voice(rng, 3) + of_speech, SAMPLE_RATE, subtype="FLOAT")
    recording = noise_folder.Recording("hum", "hum", tmp_path / "hum.wav")
    noise = 0.005 * rng.standard_normal(SAMPLE_RATE * 6) + of_noise
    soundfile.write(recording.audio, noise, SAMPLE_RATE, subtype="FLOAT")
    noise_folder.bring_to_rate((recording, tmp_path / "hum.flac"))
    speech = Speech("u", "s", "train", tmp_path / "u.wav", "WELL SAID")
    places = (("hum", "hum", tmp_path / "hum.flac"),)
    mix(Mixture(speech, places, "train", (5.0,), (), tmp_path, 0, "set"))
    clean, noisy = (soundfile.read(tmp_path / side / "u.flac")[0] for side in ("clean", "noisy"))
    added = noisy - clean
    level = active_rms(clean - clean.mean(), SAMPLE_RATE) / np.std(added)
    assert 20 * np.log10(level) == pytest.approx(5, abs=0.1)
    assert abs(added.mean()) < 0.1 * added.std()


def test_a_table_of_speech_serves_as_well(stages, material, tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    lines = ["utt;clean;speaker;text;part;color"]
    for speaker in ("ann", "bob", "cat", "dan"):
        for i in range(2):
            soundfile.write(tmp_path / f"{speaker}{i}.wav", voice(rng, 1.5 + i, 22050), 22050)
            lines.append(f'{i};{speaker}{i}.wav;{speaker};"Well; said.";p;red')
    (tmp_path / "speech.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    monkeypatch.setenv("SPEECH", str(tmp_path / "speech.csv"))
    sets = {**stages.defaults["sets"], "seen": {"corpus": "noisy_speech", "split": "test", "max_seconds": 2}}
    own = {"noisy_speech": {**OPTIONS, "parts": None, "speakers": {"dev": ["bob"], "test": 0.25}}}
    stages.write(corpora=own, sets=sets)
    stages(catalogue, "--nj", "1")
    stages(data, "--nj", "1")
    assert {u.speaker for u in read(stages.root / "data" / "ns_dev")} == {"bob"}
    tested = {u.speaker for u in read(stages.root / "data" / "seen")}
    assert len(tested) == 1
    assert [round(u.seconds, 2) for u in read(stages.root / "data" / "seen")] == [1.5]
    assert {u.speaker for u in read(stages.root / "data" / "ns_train")} == {"ann", "cat", "dan"} - tested
    assert read(stages.root / "data" / "seen")[0].texts == ("WELL SAID",)


def test_a_dry_run_knows_how_long_it_is(stages, capsys):
    stages(dry_run, "--nj", "1")
    out = capsys.readouterr().out
    seconds = 9 * 1.6
    assert f"Trainings ({seconds / 3600:.1f} hours for training" in out
    assert "to fetch: 0 B" in out


def test_without_a_tree_the_parts_are_fetched(stages, monkeypatch, capsys):
    monkeypatch.delenv("LIBRISPEECH")
    stages(dry_run, "--nj", "1")
    out = capsys.readouterr().out
    assert "train-clean-100.tar.gz: fetch" in out
    assert "test-other.tar.gz: fetch" in out
    assert "Trainings (100.6 hours for training" in out


@pytest.mark.parametrize(
    ("options", "sets", "message"),
    [
        ({"unseen": ["snow"]}, {}, "there is no noise 'snow', only bell, hum, rain"),
        ({"unseen": 1.5}, {}, r"unseen: 1\.5 is neither a list of noises nor a share"),
        ({"unseen": None}, {}, "no noise is unseen: name some in `unseen`"),
        ({"unseen": ["bell", "hum", "rain"]}, {}, "every noise is `unseen`"),
        ({"speakers": {"dev": ["99"]}}, {}, "speakers: dev: there is no speaker '99'"),
        ({"speakers": {"dev": [21], "test": ["21"]}}, {}, "speaker '21' is named for dev and for test"),
        ({"speakers": {"dev": [21, 22, 23]}}, {}, "no speaker is left for test"),
        ({"speakers": {"dev": 2}}, {}, "2 is neither a list nor a share between 0 and 1"),
        ({"speakers": {"develop": 0.1}}, {}, "'develop' is no split"),
        (
            {"parts": {"train": ["train-clean-100"], "dev": None, "test": None}, "speakers": None},
            {},
            "nothing says who speaks in",
        ),
        ({"parts": {**OPTIONS["parts"], "dev": ["dev-other"]}}, {}, "dev-other is missing"),
        ({"color": "pink"}, {}, "corpora: noisy_speech: unknown 'color'"),
        (
            {},
            {"ns_train": {"split": "train", "transcripts": True}},
            r"3 of 9 utterances of train have no transcript",
        ),
        ({}, {"seen": {"split": "exam"}}, "not of 'exam' with 'seen'"),
        ({}, {"seen": {"split": "test", "most": 0}}, "most: 0 is no number of utterances"),
        ({}, {"seen": {"split": "test", "max_seconds": "30"}}, "max_seconds: '30' is no number of seconds"),
        ({}, {"seen": {"split": "test", "reverberant": "no"}}, "reverberant: 'no' is neither true nor false"),
        ({}, {"seen": {"split": "test", "max_seconds": 1}}, "utterances of test are over 1 s"),
    ],
)
def test_faults_of_a_preset_are_named(stages, options, sets, message):
    changed = {name: {"corpus": "noisy_speech", **{**SETS, **sets}[name]} for name in SETS}
    stages.write(corpora={"noisy_speech": {**OPTIONS, **options}}, sets=changed)
    with pytest.raises(RecipeError, match=message):
        stages(catalogue, "--nj", "1")


def test_what_is_tested_on_has_transcripts(stages):
    sets = {**stages.defaults["sets"], "seen": {"corpus": "noisy_speech", "split": "train", "transcripts": False}}
    stages.write(sets=sets)
    stages(catalogue, "--nj", "1")
    with pytest.raises(RecipeError, match="set 'seen' is tested on, but 3 utterances have no transcript: 12-7-0000"):
        stages(data, "--nj", "1")


def test_stage_2_without_stage_1_says_so(stages):
    with pytest.raises(MissingInput, match="stage 1 makes it"):
        stages(data, "--nj", "1")


def write_noise(folder, name, signal, rate=8000, **options):
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / name, signal, rate, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: None, "is no folder: give one with recordings of noise with --noise"),
        (lambda f: (f.mkdir(), (f / "notes.txt").write_text("x")), r"holds no audio file \("),
        (lambda f: write_noise(f, "short.wav", np.ones(4000)), r"short\.wav lasts 0\.50 s: noise needs 1 s"),
        (lambda f: write_noise(f, "still.wav", np.zeros(16000)), r"still\.wav is silent: remove it"),
        (
            lambda f: write_noise(f, "nan.wav", np.full(16000, np.nan), subtype="FLOAT"),
            r"nan\.wav: sample 0 is no finite number",
        ),
        (lambda f: (f.mkdir(), (f / "broken.ogg").write_bytes(b"OggS" * 99)), r"broken\.ogg: not an audio file"),
        (lambda f: (f.mkdir(), (f / "phone.m4a").write_bytes(b"x")), r"phone\.m4a: \.m4a cannot be read: convert"),
        (lambda f: (f.mkdir(), (f / "street.RAW").write_bytes(b"x")), r"street\.RAW: \.RAW cannot be read: convert"),
        (lambda f: [write_noise(f, f"a.{e}", np.ones(9000)) for e in ("wav", "flac")], "would both be called 'a'"),
    ],
)
def test_faults_of_a_noise_folder_are_named(stages, tmp_path, monkeypatch, make, message):
    make(tmp_path / "noises")
    monkeypatch.setenv("NOISE", str(tmp_path / "noises"))
    with pytest.raises(RecipeError, match=message):
        stages(catalogue, "--nj", "1")
    assert not list((stages.root / "data").rglob("manifest.csv"))


def test_no_speech_is_named(stages, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("LIBRISPEECH", str(tmp_path / "empty"))
    with pytest.raises(RecipeError, match="test-other is missing"):
        stages(catalogue, "--nj", "1")
    with pytest.raises(RecipeError, match="is no folder: give LibriSpeech's with --librispeech"):
        clean_speech.from_tree(tmp_path / "nowhere")


def test_silent_speech_is_named(stages, material, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "still.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    (tmp_path / "speech.csv").write_text("utt,clean,speaker,text\na,still.wav,ann,Hush.\n")
    monkeypatch.setenv("SPEECH", str(tmp_path / "speech.csv"))
    only = {"ns": {"corpus": "noisy_speech", "split": "train"}}
    options = {**OPTIONS, "parts": None, "speakers": None}
    stages.write(corpora={"noisy_speech": options}, sets=only, train=["ns"], dev=["ns"], test=["ns"])
    with pytest.raises(RecipeError, match=r"still\.wav is silent"):
        stages(catalogue, "--nj", "1")


def test_an_unknown_option_of_a_set_is_named(stages):
    stages.write(sets={**stages.defaults["sets"], "seen": {"corpus": "noisy_speech", "split": "test", "snrs": 3}})
    with pytest.raises(OptionError, match=r"'snrs' \(options: split, noise, snr,"):
        stages(catalogue, "--nj", "1")


def test_a_model_card_says_what_is_known_of_the_licenses(stages, tmp_path, monkeypatch):
    corpus = catalogue.Catalogue(parse([f"--preset={stages.preset}"]).recipe).corpus("noisy_speech")
    for folder in ("bare", "licensed"):
        write_noise(tmp_path / folder, "bell.wav", np.ones(16000))
    monkeypatch.setenv("NOISE", str(tmp_path / "bare"))
    (_, license), noise = corpus.origins({"split": "train"})
    assert (license, noise) == ("CC BY 4.0", ("recordings of noise", "not stated for the files"))
    assert corpus.notices() == {}
    (tmp_path / "licensed" / "LICENCES.md").write_text("bell.wav: CC0")
    monkeypatch.setenv("NOISE", str(tmp_path / "licensed"))
    assert corpus.origins({"split": "train"})[1] == ("recordings of noise", "of each file its own: NOISE_LICENSES.md")
    assert corpus.notices() == {"NOISE_LICENSES.md": tmp_path / "licensed" / "LICENCES.md"}
