"""The real corpora from their archives to the dump, scaled down: fetched once, verified, incomplete ones named."""

import shutil

import pytest
import real_layout
import soundfile
import yaml
from file_server import FileServer
from places import RECIPE
from stages import Stages

from espnet_plugins.ssl.whisper import MODELS
from local.common.errors import MissingInput, OptionError, RecipeError
from local.common.kaldi_dir import read
from local.common.recipe import load_preset
from local.corpora import catalogue
from local.corpora.registry import load_registry
from local.pipeline import dry_run
from local.stages import data

SETS = {name: load_preset(name)["sets"] for name in ("full", "paper")}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A server with all archives and the registry that names it: (server, registry)."""
    server, registry = FileServer(), tmp_path_factory.mktemp("registry") / "corpora.yaml"
    real_layout.publish(server, registry)
    yield server, registry
    server.close()


def make_stages(root, monkeypatch, published, preset):
    for name in ("VOICEBANK_DEMAND", "LIBRISPEECH", "WHAM_NOISE", "LIBRIMIX_METADATA", "LIBRIMIX", "DEMAND", "FSDD"):
        monkeypatch.delenv(name, raising=False)
    # A folder called like this must not be taken for that of noisy files.
    settings = {"corpora": {}, "registry": str(published[1]), "vocabulary": 25, "heads": ["asr"]}
    stages = Stages(root, monkeypatch, extends=preset, **settings)
    return stages


@pytest.fixture(scope="module", params=["full", "paper"])
def finished(request, tmp_path_factory, published):
    """Both stages of a preset, from nothing."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        stages = make_stages(tmp_path_factory.mktemp("noisy_speech"), monkeypatch, published, request.param)
        stages.name = request.param
        stages(catalogue, "--accept_licenses", "true")
        stages(data)
        yield stages


def test_every_set_is_prepared(finished):
    sizes = {
        "full": {
            "vb_train": 3,
            "vb_dev": 3,
            "lm_train": 2,
            "lm_dev": 2,
            "test_voicebank": 3,
            "test_librimix": 2,
            "train": 5,
        },
        "paper": {"ls_train": 4, "ls_dev": 4, "test_clean": 4, "test_seen": 4, "test_unseen": 4},
    }[finished.name]
    for name, size in sizes.items():
        lines = (finished.root / "dump" / name / "wav.scp").read_text().splitlines()
        assert len(lines) == size, name
    if finished.name == "full":
        test = read(finished.root / "data" / "test_voicebank")
        assert [u.id for u in test] == real_layout.VOICEBANK["testset"]
        assert test[0].texts == ("IT'S ONE THIRD FULL MISTER BROWN",)
        assert test[0].category == "cafe_17.5dB"
        assert {u.speaker for u in read(finished.root / "data" / "vb_dev")} == {"p226", "p287"}
        mixed = read(finished.root / "data" / "test_librimix")
        assert [u.id.split("_")[0] for u in mixed] == ["61-70968-0000"] * 2
    else:
        unseen = read(finished.root / "data" / "test_unseen")
        assert {u.details["noise"] for u in unseen} <= {"NFIELD", "NRIVER", "NPARK", "STRAFFIC", "SPSQUARE", "SCAFE"}
        assert {u.details["snr"] for u in unseen} <= {"20", "10", "5"}
    for summary in (finished.root / "data").glob("*/SUMMARY.md"):
        assert "speakers" in summary.read_text()


def test_nothing_is_fetched_twice_and_no_archive_is_left(finished, published, capsys):
    server, _ = published
    server.requests.clear()
    finished(catalogue)
    finished(data)
    assert server.requests == []
    assert all(line.endswith("nothing to do") for line in capsys.readouterr().out.splitlines())
    left = [p for p in (finished.root / "downloads").rglob("*") if p.suffix in (".zip", ".gz", ".part", ".tmp")]
    assert left == []
    assert not list((finished.root / "downloads").rglob("__MACOSX"))


def test_a_second_preset_uses_what_the_first_fetched(published, tmp_path, monkeypatch):
    stages = make_stages(tmp_path, monkeypatch, published, "full")
    only = {"vb": {"corpus": "voicebank_demand", "part": "test"}}
    stages.write(sets=only, train=["vb"], dev=["vb"], test=["vb"])
    stages(catalogue, "--accept_licenses", "true")
    shutil.rmtree(tmp_path / "data")
    published[0].requests.clear()
    # The license was accepted once for this folder, and everything is there.
    stages(catalogue)
    assert published[0].requests == []


def test_an_archive_that_lies_there_is_not_fetched_and_stays(published, tmp_path, monkeypatch):
    server, _ = published
    stages = make_stages(tmp_path, monkeypatch, published, "full")
    only = {"ls": {"corpus": "librispeech", "part": "dev-clean"}}
    stages.write(sets=only, train=["ls"], dev=["ls"], test=["ls"])
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "dev-clean.tar.gz").write_bytes(server.files["dev-clean.tar.gz"])
    server.requests.clear()
    stages(catalogue)
    assert server.requests == []
    assert (tmp_path / "downloads" / "dev-clean.tar.gz").exists()
    assert len(list((tmp_path / "downloads" / "LibriSpeech").rglob("*.flac"))) == 4


def test_a_registry_may_say_licence(tmp_path, caplog):
    own = tmp_path / "own.yaml"
    own.write_text("voicebank_demand: {licence: CC0}")
    assert load_registry(own)["voicebank_demand"].license == "CC0"
    (message,) = caplog.messages
    assert message.startswith(f"{own}: voicebank_demand: licence is now called license")


def test_a_license_must_be_accepted(published, tmp_path, monkeypatch, capsys):
    stages = make_stages(tmp_path, monkeypatch, published, "full")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(OptionError, match=r"CC BY 4\.0, must be accepted: --accept_licenses true"):
        stages(catalogue)
    assert "(Valentini-Botinhao, 2017) is under the license CC BY 4.0" in capsys.readouterr().out
    assert not (tmp_path / "downloads").exists()


@pytest.fixture
def site(published, tmp_path, monkeypatch):
    """A site's own VoiceBank-DEMAND, complete, and stages that are pointed to it."""
    stages = make_stages(tmp_path, monkeypatch, published, "full")
    only = {"vb": {"corpus": "voicebank_demand", "part": "test"}}
    stages.write(sets=only, train=["vb"], dev=["vb"], test=["vb"])
    stages(catalogue, "--accept_licenses", "true")
    root = tmp_path / "shared" / "VB"
    shutil.move(tmp_path / "downloads" / "voicebank_demand", root)
    shutil.rmtree(tmp_path / "data")
    monkeypatch.setenv("VOICEBANK_DEMAND", str(root))
    stages.site = root
    return stages


def test_what_the_site_has_is_used_where_it_is(site, published):
    published[0].requests.clear()
    site(catalogue)
    site(data)
    assert published[0].requests == []
    assert all(u.wav.startswith(str(site.site)) for u in read(site.root / "data" / "vb"))


@pytest.mark.parametrize(
    ("victims", "message"),
    [
        (["clean_testset_wav/p232_002.wav"], r"clean_testset_wav lacks 1 utterances of p232 \(p232_002\)"),
        (["testset_txt"], "set for VOICEBANK_DEMAND in db.sh, lacks testset_txt"),
        (
            [
                "clean_trainset_28spk_wav/p227_005.wav",
                "noisy_trainset_28spk_wav/p227_005.wav",
                "trainset_28spk_txt/p227_005.txt",
            ],
            "trainset_28spk: p227 has 1 utterances of 2",
        ),
    ],
)
def test_what_is_incomplete_is_named(site, victims, message):
    for victim in victims:
        path = site.site / victim
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RecipeError, match=message):
        site(catalogue)
    with pytest.raises(MissingInput, match="stage 1 makes it"):
        site(data)


def test_a_folder_that_cannot_be_written_is_linked_and_completed_elsewhere(
    published, tmp_path, monkeypatch, make_read_only
):
    server, _ = published
    stages = make_stages(tmp_path, monkeypatch, published, "full")
    parts = {part: {"corpus": "librispeech", "part": part} for part in ("dev-clean", "test-clean")}
    stages.write(sets=parts, train=["dev-clean"], dev=["dev-clean"], test=["dev-clean"])
    stages(catalogue, "--accept_licenses", "true")
    shared = tmp_path / "downloads" / "LibriSpeech"
    before = sorted(shared.rglob("*"))
    make_read_only(tmp_path / "downloads")
    stages.write(sets=parts, train=["dev-clean"], dev=["dev-clean"], test=["test-clean"])
    server.requests.clear()
    stages(catalogue, "--accept_licenses", "true")
    assert [path for path, _ in server.requests] == ["test-clean.tar.gz"]
    assert sorted(shared.rglob("*")) == before
    stages(data)
    assert len(read(stages.root / "data" / "test-clean")) == len(read(stages.root / "data" / "dev-clean")) == 4


@pytest.mark.parametrize(
    "preset", ["full", "paper", "digits", "mini", "custom", "whisper", "whisper_small", "whisper_layer5"]
)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(preset, published, tmp_path, monkeypatch, capsys):
    stages = make_stages(tmp_path, monkeypatch, published, preset)
    for own in ("corpora", "heads"):
        stages.defaults.pop(own)
    stages.write()
    if preset == "whisper_layer5":  # one of its sets asks for rooms
        monkeypatch.setenv("RIRS", str(tmp_path / "rooms"))
    published[0].requests.clear()
    stages(dry_run)
    out = capsys.readouterr().out
    # Of a corpus that is not there, nobody knows.
    assert f"disk needed at the peak: {'size unknown' if preset == 'custom' else 'about '}" in out
    expected = {
        "full": ["wham_noise.zip: fetch", "license CC BY-NC 4.0", "clean_trainset_28spk_wav.zip", "ls960.pth: fetch"],
        "paper": ["SCAFE_48k.zip: fetch", "license CC BY-SA 3.0", "train-clean-100.tar.gz"],
        "digits": ["free-spoken-digit-dataset-1.0.10.tar.gz: fetch", "CC BY-SA 4.0"],
        "mini": ["nothing is fetched", "to fetch: 0 B", "SSL model: pre-trained here"],
        "custom": ["test.csv is not there", "downloads/custom, which is not there; CUSTOM in db.sh names another"],
        "whisper": [
            "dev-other.tar.gz: fetch",
            "SSL model: Whisper base",
            "no training",
            "seed2: about 2000 updates",
            "45 systems",
        ],
        "whisper_small": [
            "train-clean-100.tar.gz: fetch",
            "base.pt: fetch",
            "ssl_soft_dtw_layer3_se_seed0: about 312 updates",
        ],
        "whisper_layer5": [
            "ssl_soft_dtw_layer5_se_seed0: about 312 updates",
            "ssl_soft_dtw_layer5_se_seed0: about 16 models on the development set",
        ],
    }[preset]
    assert [text for text in expected if text not in out] == []
    assert published[0].requests == []
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize("name", ["base.pt", "whisper_base.model.bin", "config.json"])
def test_a_dry_run_sees_an_ssl_model_that_is_there_under_any_of_its_names(
    name, published, tmp_path, monkeypatch, capsys
):
    stages = make_stages(tmp_path, monkeypatch, published, "whisper_small")
    for own in ("corpora", "heads"):
        stages.defaults.pop(own)
    stages.write()
    folder = tmp_path / "downloads" / "ssl"
    folder.mkdir(parents=True)
    (folder / "another.bin").touch()
    stages(dry_run)
    assert "base.pt: fetch" in capsys.readouterr().out
    (folder / name).touch()
    stages(dry_run)
    out = capsys.readouterr().out
    assert f"is in {folder}, nothing is fetched" in out
    assert "base.pt" not in out


def test_the_mirrors_names_are_the_librarys():
    known = yaml.safe_load((RECIPE / "conf" / "models.yaml").read_text())
    found = {name: entry["mirror"] for name, entry in known.items() if "mirror" in entry}
    listed = {f"whisper_{size}": model.mirror_file for size, model in MODELS.items() if model.mirror}
    assert found == {name: file for name, file in listed.items() if name in known}
    assert found


@pytest.mark.parametrize("finished", ["full"], indirect=True)
def test_mixtures_of_the_site_are_used_as_they_are(finished, tmp_path, monkeypatch):
    mixed = finished.root / "data" / "corpora" / "librimix" / "Libri2Mix"
    monkeypatch.setenv("LIBRIMIX", str(mixed))
    stages = Stages(tmp_path, monkeypatch, **finished.defaults)
    only = {"lm": SETS["full"]["test_librimix"]}
    stages.write(sets=only, train=["lm"], dev=["lm"], test=["lm"])
    stages(catalogue, "--downloads", str(finished.root / "downloads"))
    stages(data, "--downloads", str(finished.root / "downloads"))
    assert all(u.wav.startswith(str(mixed)) for u in read(tmp_path / "data" / "lm"))
    assert not (tmp_path / "data" / "corpora" / "librimix" / "Libri2Mix").exists()
    assert not (tmp_path / "data" / "corpora" / "wham_noise").exists()
    assert soundfile.info(read(tmp_path / "data" / "lm")[0].wav).samplerate == 16000


@pytest.mark.parametrize("finished", ["full"], indirect=True)
@pytest.mark.parametrize(
    ("victims", "message"),
    [
        (["s1"], r"test/s1 lacks 1 files: 61-70968-0000_1089-134686-0000\.wav"),
        (["s1", "noise", "mix_single"], "test/mix_single has 1 mixtures of 2: set LIBRIMIX to a complete copy"),
    ],
)
def test_mixtures_that_a_site_lacks_are_named(finished, victims, message, tmp_path, monkeypatch):
    mixed = tmp_path / "a site" / "Libri2Mix"
    shutil.copytree(finished.root / "data" / "corpora" / "librimix" / "Libri2Mix", mixed)
    for part in victims:
        min((mixed / "wav16k/max/test" / part).iterdir()).unlink()
    monkeypatch.setenv("LIBRIMIX", str(mixed))
    stages = Stages(tmp_path, monkeypatch, **finished.defaults)
    only = {"lm": SETS["full"]["test_librimix"]}
    stages.write(sets=only, train=["lm"], dev=["lm"], test=["lm"])
    with pytest.raises(RecipeError, match=message):
        stages(catalogue, "--downloads", str(finished.root / "downloads"))
    with pytest.raises(MissingInput, match="stage 1 makes it"):
        stages(data, "--downloads", str(finished.root / "downloads"))


def test_a_damaged_archive_that_lies_there_is_named_and_stays(published, tmp_path, monkeypatch):
    stages = make_stages(tmp_path, monkeypatch, published, "full")
    only = {"ls": {"corpus": "librispeech", "part": "dev-clean"}}
    stages.write(sets=only, train=["ls"], dev=["ls"], test=["ls"])
    (tmp_path / "downloads").mkdir()
    archive = tmp_path / "downloads" / "dev-clean.tar.gz"
    content = bytearray(published[0].files["dev-clean.tar.gz"])
    for damaged, message in ((content[:-9], "it has .* bytes, not"), (content[:-9] + bytes(9), "its md5 is")):
        archive.write_bytes(damaged)
        with pytest.raises(RecipeError, match=f"dev-clean.tar.gz is damaged: {message}"):
            stages(catalogue)
        assert archive.read_bytes() == damaged
        assert not (tmp_path / "downloads" / "LibriSpeech").exists()


def test_parts_that_no_archive_has_are_named(published, tmp_path, monkeypatch):
    stages = make_stages(tmp_path, monkeypatch, published, "full")
    only = {"ls": {"corpus": "librispeech", "part": "train-clean-101"}}
    stages.write(sets=only, train=["ls"], dev=["ls"], test=["ls"])
    with pytest.raises(OptionError, match="has no part 'train-clean-101': choose from dev-clean, "):
        stages(catalogue)


def test_archives_that_were_all_unpacked_in_one_place_are_found(site, published):
    """The archive of VoiceBank's logs has no folder of its own."""
    for log in (site.site / "logfiles").iterdir():
        log.rename(site.site / log.name)
    (site.site / "logfiles").rmdir()
    published[0].requests.clear()
    site(catalogue)
    site(data)
    assert published[0].requests == []
    assert len(read(site.root / "data" / "vb")) == 3
