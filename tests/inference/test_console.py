"""Whoever starts a program sees what it says, and no warnings about other people's code."""

import os
import subprocess
import sys

import soundfile
from places import ROOT


def run(program, *arguments, folder, options=()):
    # As on a first run: nothing is compiled yet.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONWARNINGS", None)
    command = [sys.executable, *options, "-m", f"espnet_plugins.bin.{program}", *map(str, arguments)]
    result = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr[-3000:]
    return result


def test_a_first_run_prints_its_own_words_alone(joint_folder, tmp_path, speech):
    """Of the program that imports most: it enhances, and recognizes."""
    soundfile.write(tmp_path / "a.wav", speech, 16000)
    result = run("recognize", joint_folder, tmp_path / "a.wav", "--out", tmp_path / "out", folder=tmp_path)
    assert result.stdout.startswith("1 of 1 files are in ")
    # The progress bar, which overwrites itself.
    left = [line for line in result.stderr.replace("\r", "\n").splitlines() if line and "s of audio" not in line]
    assert left == []


def test_warnings_about_our_own_code_are_shown():
    code = (
        "import warnings, sys; from espnet_plugins.bin import quiet; assert warnings.filters[0][0] != 'ignore' or "
        "warnings.filters[0][3] is None or not warnings.filters[0][3].pattern == quiet._NOT_OURS; quiet.hush(); "
        "warnings.warn_explicit('theirs', UserWarning, 'x.py', 1, module='torch.nn'); "
        "warnings.warn_explicit('theirs', SyntaxWarning, 'x.py', 1, module='/usr/lib/other/x'); "
        "warnings.warn_explicit('ours', UserWarning, 'y.py', 1, module='espnet_plugins.enh.model')"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "ours" in result.stderr
    assert "theirs" not in result.stderr
