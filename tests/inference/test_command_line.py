"""What is wrong with a command line, or with where a program runs, is one line that names the remedy."""

import subprocess
import sys

import pytest
import torch
from places import ROOT

from espnet_plugins.bin import (
    asr_inference,
    asr_train,
    devices,
    enh_inference,
    enh_s2t_train,
    enh_train,
    enhance,
    export,
    export_onnx,
    hubert_train,
    import_enhancer,
    pack,
    probe,
    recognize,
)

READY = "gtcrn_for_whisper"
# Program, what its --out is, and a command line without --out.
PROGRAMS = [
    (enhance, "folder", [READY, "rec"]),
    (recognize, "folder", [READY, "rec"]),
    (export, "folder", ["model.pth"]),
    (import_enhancer, "folder", ["model.th"]),
    (probe, "folder", ["upstream.pth", "rec"]),
    (export_onnx, "file", [READY]),
    (pack, "file", ["model.pth", "--title", "a"]),
]
NAMES = [program.__name__.rpartition(".")[2] for program, *_ in PROGRAMS]
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def fault_of(main, command, capsys, *, code=1):
    """The only line that is printed."""
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, command)))
    printed = capsys.readouterr()
    assert (stop.value.code, printed.out) == (code, "")
    (line,) = printed.err.splitlines()
    return line


@pytest.mark.parametrize(("program", "kind", "command"), PROGRAMS, ids=NAMES)
def test_a_missing_or_wrong_option_is_one_line(program, kind, command, capsys):
    line = fault_of(program.main, command, capsys, code=2)
    assert f"{program.__name__}: error: the following arguments are required: --out (" in line
    assert "--help shows all options" in line
    assert "--outt" in fault_of(program.main, [*command, "--out", "out", "--outt", "x"], capsys, code=2)


def test_a_wrong_choice_is_one_line(capsys):
    line = fault_of(enhance.main, [READY, "rec", "--out", "out", "--format", "mp3"], capsys, code=2)
    assert "--format: invalid choice: 'mp3'" in line
    assert "wav" in line
    assert "--help" in line


@pytest.mark.parametrize(("program", "kind", "command"), PROGRAMS, ids=NAMES)
def test_an_out_of_the_other_kind_is_refused(program, kind, command, tmp_path, capsys):
    file = tmp_path / "broken.wav"
    file.write_text("x")
    if kind == "folder":
        line = fault_of(program.main, [*command, "--out", file], capsys)
        assert line.endswith(f"error: --out {file} is a file; give a folder")
    else:
        line = fault_of(program.main, [*command, "--out", tmp_path], capsys)
        assert line.endswith(f"error: --out {tmp_path} is a folder; give a file")
    line = fault_of(program.main, [*command, "--out", file / "a"], capsys)
    assert line.endswith(f"error: --out {file / 'a'} would lie in {file}, which is a file; give another folder")
    assert file.read_text() == "x"


@without_gpu
@pytest.mark.parametrize("program", [enhance, recognize])
def test_a_device_that_is_not_there_is_one_line(program, tmp_path, capsys):
    for name in ("cuda", "cuda:1"):
        line = fault_of(program.main, [READY, "rec", "--out", tmp_path / "out", "--device", name], capsys)
        assert line.startswith(f"python -m {program.__name__}: error: --device {name}: ")
        assert line.endswith("; use --device cpu")
    line = fault_of(program.main, [READY, "rec", "--out", tmp_path / "out", "--device", "gpu"], capsys)
    assert line.endswith("error: --device gpu: no device of torch; give cpu or cuda")


@pytest.mark.parametrize("cuda", ["13.0", None])
def test_why_there_is_no_gpu(cuda, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ValueError, match="no GPU here" if cuda else "built without CUDA"):
        devices.check_device("cuda")
    with pytest.raises(ValueError, match="meta"):
        devices.check_device("meta")
    devices.check_device("cpu")


@without_gpu
def test_espnets_programs_without_a_gpu(tmp_path, capsys):
    (tmp_path / "train.yaml").write_text("ngpu: 2\n")
    for program in (asr_train, enh_train, enh_s2t_train, hubert_train):
        line = fault_of(program.main, ["--config", tmp_path / "train.yaml", "--output_dir", tmp_path / "out"], capsys)
        assert line.startswith(f"python -m {program.__name__}: error: --ngpu 2: ")
        assert line.endswith("; use --ngpu 0")
    for program in (asr_inference, enh_inference):
        data = ["--data_path_and_name_and_type", "wav.scp,speech,sound", "--output_dir", tmp_path / "out"]
        line = fault_of(program.main, [*data, "--ngpu", "1"], capsys)
        assert line.startswith(f"python -m {program.__name__}: error: --ngpu 1: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("program", ["enhance", "probe", "enh_train"])
def test_a_package_that_is_not_installed_is_one_line(program):
    # Python without site-packages: what a system's python is to this repository.
    command = [sys.executable, "-S", "-m", f"espnet_plugins.bin.{program}", "--help"]
    result = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"python -m espnet_plugins.bin.{program}: error: the package ")
    assert f"is not installed for {sys.executable}: use .venv/bin/python of the repository" in line
    assert "pip install -e '.[recipe]'" in line


def test_other_errors_keep_their_traceback(tmp_path):
    # A module that is missing in a package that is there, and what a program meets once it has begun.
    code = (
        "import sys; sys.argv[0] = '-m'; import espnet_plugins.bin; {}\n"
        "def raise_from(name): raise ModuleNotFoundError(f'No module named {{name}}', name=name)\n"
        "{}"
    )
    for before, then in (("", "raise_from('json.none')"), ("main = 1", "raise_from('no_such_package')")):
        command = [sys.executable, "-S", "-c", code.format(before or "pass", then)]
        result = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300)
        assert "Traceback" in result.stderr
        assert "is not installed" not in result.stderr
    command = [sys.executable, "-S", "-c", code.format("pass", "raise_from('no_such_package')")]
    result = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300)
    assert result.stderr.startswith("python -m espnet_plugins.bin: error: the package no_such_package is not installed")
