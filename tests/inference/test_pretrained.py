"""Models that were passed on: packed by ESPnet, from a hub's cache; archives that would write elsewhere."""

import io
import os
import shutil
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.main_funcs.pack_funcs import pack
from joint_configuration import joint_settings, save_experiment

from espnet_plugins.bin import enhance, export, recognize
from espnet_plugins.inference import Enhancer, Recognizer
from espnet_plugins.inference.pretrained import fetch_pretrained


@pytest.fixture(scope="module")
def stock_folder(tmp_path_factory):
    """An exported joint model over ESPnet's own front-end."""
    folder = tmp_path_factory.mktemp("stock")
    save_experiment(joint_settings({}, criterion="si_snr", frontend="default"), folder / "model")
    export.main([str(folder / "model"), "--out", str(folder / "exported")])
    return folder


def packed(folder, name, *, kind="joint", prefix="enh_s2t_"):
    before = os.getcwd()
    os.chdir(folder)  # names in the archive are relative to here
    try:
        place = f"exported/{kind}"
        files, configs = (
            {f"{prefix}model_file": f"{place}/model.pth"},
            {f"{prefix}train_config": f"{place}/config.yaml"},
        )
        pack(files, configs, name)
    finally:
        os.chdir(before)
    return folder / name


@pytest.mark.parametrize("name", ["joint.zip", "joint.tar.gz"])
def test_packed_files_of_espnet(stock_folder, tmp_path, speech, name):
    file = packed(stock_folder, name)
    cache = tmp_path / "cache of mine"
    joint = stock_folder / "exported" / "joint"
    for _ in range(2):
        recognizer = Recognizer.from_pretrained(file, cache=cache)
        assert recognizer(speech, 16000) == Recognizer.from_checkpoint(joint)(speech, 16000)
    enhancer = Enhancer.from_pretrained(str(file), cache=cache)
    expected = Enhancer.from_checkpoint(joint)(speech, 16000)
    np.testing.assert_array_equal(enhancer(speech, 16000), expected)
    assert {path.name for path in cache.iterdir()} == {"packed", "configurations"}
    assert len([*(cache / "packed").iterdir()]) == 1
    front_end = packed(stock_folder, "enh.zip", kind="enh", prefix="")
    np.testing.assert_array_equal(Enhancer.from_pretrained(front_end, cache=cache)(speech, 16000), expected)


def test_programs_take_packed_files(stock_folder, tmp_path, speech, monkeypatch, capsys):
    file = packed(stock_folder, "a joint.zip")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "in.wav", speech, 16000, subtype="FLOAT")
    for program in (enhance, recognize):
        program.main([str(file), str(tmp_path / "in.wav"), "--out", str(tmp_path / program.__name__)])
    expected = Enhancer.from_pretrained(file, cache=tmp_path / "other")(speech, 16000)
    enhanced, _ = soundfile.read(tmp_path / enhance.__name__ / "in.wav", dtype="float32")
    np.testing.assert_array_equal(enhanced, expected)
    assert (tmp_path / recognize.__name__ / "text").is_file()
    # The same model in another place is the same model.
    shutil.copy(file, tmp_path / "moved.zip")
    enhance.main([str(tmp_path / "moved.zip"), str(tmp_path / "in.wav"), "--out", str(tmp_path / enhance.__name__)])
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "no model")
    for name in ("other.zip", "owner/model"):
        with pytest.raises(SystemExit):
            enhance.main([str(tmp_path / name) if "zip" in name else name, str(tmp_path / "in.wav"), "--out", "x"])
        assert name in capsys.readouterr().err


def test_folders_and_model_files(stock_folder, tmp_path):
    joint = stock_folder / "exported" / "joint"
    assert fetch_pretrained(joint, cache=tmp_path) == (joint, None)
    assert fetch_pretrained(joint / "model.pth", cache=tmp_path) == (joint / "model.pth", None)
    assert not [*tmp_path.iterdir()]


def test_paths_of_the_configuration_lead_to_the_unpacked_files(tmp_path):
    settings = {"encoder": "rnn", "bpemodel": "data/bpe.model", "token_list": ["data", "a"], "note": "data"}
    settings |= {"long": "x" * 5000, "deep": "a/" * 3000}
    settings["normalize_conf"] = {"stats_file": "/elsewhere/stats.npz"}
    meta = {"files": {"asr_model_file": "m.pth"}, "yaml_files": {"asr_train_config": "config.yaml"}}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(meta))
        archive.writestr("config.yaml", yaml.safe_dump(settings))
        archive.writestr("m.pth", b"")
        archive.writestr("data/bpe.model", b"pieces")
    model, config = fetch_pretrained(tmp_path / "a.zip", cache=tmp_path / "cache")
    found = yaml.safe_load(config.read_text())
    bpemodel = model.parent / "data" / "bpe.model"
    assert bpemodel.read_bytes() == b"pieces"
    assert found == {**settings, "bpemodel": str(bpemodel.resolve())}


def evil_zip(path, name, *, link=False):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.yaml", "files: {}\n")
        info = zipfile.ZipInfo(name)
        if link:
            info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")


def evil_tar(path, name, *, link=False):
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("meta.yaml"), io.BytesIO())
        info = tarfile.TarInfo(name)
        if link:
            info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(info, io.BytesIO())


@pytest.mark.parametrize("make", [evil_zip, evil_tar])
@pytest.mark.parametrize(
    ("name", "link", "message"),
    [
        ("../evil", False, "would lie outside"),
        ("a/../../evil", False, "would lie outside"),
        ("/evil", False, "would lie outside"),
        ("evil", True, "no plain file"),
    ],
)
def test_archives_write_inside_the_cache_alone(tmp_path, make, name, link, message):
    make(tmp_path / "evil.archive", name, link=link)
    with pytest.raises(ValueError, match=message):
        fetch_pretrained(tmp_path / "evil.archive", cache=tmp_path / "cache")
    assert not [path for path in tmp_path.rglob("*") if path.name != "evil.archive" and not path.is_dir()]
    assert [path.name for path in tmp_path.rglob("*") if path.is_dir()] == ["cache", "packed"]


@pytest.mark.parametrize(
    "meta",
    [
        "[1]",
        "files: {model_file: gone.pth}\nyaml_files: {train_config: config.yaml}\n",
        "files: {model_file: null}\nyaml_files: {train_config: 3}\n",
        f"files: {{model_file: {'9' * 5000}}}\n",
        "files: {model_file: 2020-99-99}\n",
        f"files: {{model_file: '{'9' * 5000}'}}\nyaml_files: {{train_config: config.yaml}}\n",
        f"files: {{model_file: a{'b/' * 2000}}}\nyaml_files: {{train_config: config.yaml}}\n",
        "files: {}\n",
        ": [",
    ],
)
def test_archives_that_hold_no_model(tmp_path, meta):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("meta.yaml", meta)
    with pytest.raises(ValueError, match=r"a\.zip: .*meta\.yaml names"):
        fetch_pretrained(tmp_path / "a.zip", cache=tmp_path / "cache")


def test_a_hubs_name(stock_folder, tmp_path, speech, monkeypatch):
    """From the hub's own cache, without a network; what is not there is an error that says what to do."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(FileNotFoundError, match=r"could not be fetched from the hub .*hf download someone/joint"):
        Recognizer.from_pretrained("someone/joint", cache=tmp_path)
    with pytest.raises(FileNotFoundError, match="no name of a hub"):
        Enhancer.from_pretrained("no such thing", cache=tmp_path)
    revision = "0" * 40
    repository = tmp_path / "hub" / "models--someone--joint"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    with zipfile.ZipFile(packed(stock_folder, "hub.zip")) as archive:
        archive.extractall(snapshot)
    found = Recognizer.from_pretrained("someone/joint", cache=tmp_path)(speech, 16000)
    assert found == Recognizer.from_checkpoint(stock_folder / "exported" / "joint")(speech, 16000)


def test_what_is_packed_runs_no_code(stock_folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("this ran",))

    meta = {"files": {"model_file": "m.pth"}, "yaml_files": {"train_config": "config.yaml"}}
    torch.save({"a": Evil()}, tmp_path / "m.pth")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("meta.yaml", yaml.safe_dump(meta))
        archive.writestr("config.yaml", (stock_folder / "exported" / "enh" / "config.yaml").read_text())
        archive.write(tmp_path / "m.pth", "m.pth")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        Enhancer.from_pretrained(tmp_path / "a.zip", cache=tmp_path / "cache")


@pytest.mark.parametrize("make", [evil_zip, evil_tar])
def test_a_damaged_archive_is_named(tmp_path, make):
    path = tmp_path / "a.archive"
    make(path, "model.pth")
    content = path.read_bytes()
    at = content.index(b"files: {}") if make is evil_zip else 512 + 20
    path.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
    with pytest.raises(ValueError, match=r"a\.archive is a damaged archive: .*Fetch it again"):
        fetch_pretrained(path, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "packed").iterdir()) if (tmp_path / "cache").exists() else True


def test_an_archive_that_begins_before_its_beginning_is_named(tmp_path):
    path = tmp_path / "a.zip"
    evil_zip(path, "model.pth")
    content = bytearray(path.read_bytes())
    # Where the list of members is, by its last record.
    content[-6:-2] = struct.pack("<I", struct.unpack("<I", content[-6:-2])[0] + 1000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.zip (cannot be unpacked|is a damaged archive)"):
        fetch_pretrained(path, cache=tmp_path / "cache")
