"""The short form of the fault campaign, and what the campaign has found: a disk that fails is never silent."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from places import RECIPE, ROOT

from faults.preload import Fault, NoCompiler, Preload, build
from local.common.audio import write


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library that lets calls fail."""
    if sys.platform != "linux":
        pytest.skip("LD_PRELOAD is Linux's")
    try:
        return build(tmp_path_factory.mktemp("library"))
    except NoCompiler as error:
        pytest.skip(str(error))


def run_failing(code, folder, library, fault):
    """Run Python code in which calls on files below a folder fail."""
    preload = Preload(library, folder.parent / "state", [folder])
    environment = {**os.environ, **preload.environment(fault), "PYTHONPATH": f"{RECIPE}:{ROOT}"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    return result, preload.seen()


# soundfile writes a file of 200 kB in four calls, of which the last one is the header.
AUDIO = """
import sys, errno, numpy, soundfile
from pathlib import Path
from espnet_plugins.atomic import whole_audio_files
from local.common.audio import write
samples = numpy.ones(100_000, dtype="int16")
folder, own = Path(sys.argv[1]), sys.argv[2] == "own"
def attempt(number):
    path = folder / f"{number}.wav"
    if own:
        write(path, samples)
    else:
        with whole_audio_files():
            soundfile.write(path, samples, 16000, subtype="PCM_16")
for number in range(5):
    try:
        attempt(number)
    except Exception as error:
        print(number, type(error).__name__)
"""


@pytest.mark.parametrize("own", ["own", "stock"])
def test_audio_is_whole_or_an_error_wherever_the_disk_fails(own, library, tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    code = AUDIO.replace("sys.argv[1]", repr(str(folder))).replace("sys.argv[2]", repr(own))
    clean, seen = run_failing(code, folder, library, Fault())
    assert clean.stdout == "", clean.stderr
    whole = {path.read_bytes() for path in folder.iterdir()}
    assert len(whole) == 1
    calls = seen.counts[0]["write"] // 5
    for call in range(1, calls + 1):
        for path in folder.iterdir():
            path.unlink()
        failing, seen = run_failing(code, folder, library, Fault("write", 0, call, f"fail {errno.ENOSPC}", times=2))
        assert seen.fired
        left = [path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")]
        assert {*left} <= whole
        assert len(left) == 5 - len(failing.stdout.splitlines())


def test_a_disk_that_cannot_be_read_is_not_a_damaged_file(library, tmp_path):
    folder = tmp_path / "audio"
    folder.mkdir()
    path = folder / "a.wav"
    write(path, np.ones(100_000, dtype="int16"))
    code = f"from local.common.audio import read; read({str(path)!r})"
    clean, seen = run_failing(code, folder, library, Fault())
    assert clean.returncode == 0, clean.stderr
    calls = seen.counts[0]["read"]
    assert calls > 3
    for call in (1, calls // 2, calls):
        failing, _ = run_failing(code, folder, library, Fault("read", 0, call, f"fail {errno.EIO}", times=0))
        assert failing.stderr.splitlines()[-1].endswith(f"AudioError: {path}: cannot be read: Input/output error")


def test_a_start_of_the_recipe_does_not_bring_torch():
    """Every job of every stage starts this way; torch takes three quarters of it."""
    code = "import sys, local.pipeline.pipeline; sys.exit('torch' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], cwd=RECIPE, env={**os.environ, "PYTHONPATH": f"{RECIPE}:{ROOT}"}, check=True
    )


@pytest.mark.recipe
def test_killed_and_hindered_in_stage_1_the_recipe_ends_with_the_same_files(library, tmp_path):
    """`tools/fault_campaign.sh --short`: two kills, one fault of each kind, two recipes at once."""
    command = [ROOT / "tools" / "fault_campaign.sh", "--short", "--out", tmp_path / "a campaign"]
    environment = {**os.environ, "OWN_PYTHON": sys.executable}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2400)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    counts = json.loads((tmp_path / "a campaign" / "counts.json").read_text())
    assert counts["kills"] >= 1
    assert counts["faults"] >= 6
    # On a fast machine the first recipe may have ended before the second comes.
    assert counts["kinds"]["two recipes at once"]["runs"] == 1
    assert counts["compared"] >= 1
    assert counts["results_compared"] > 50
    assert counts["differences"] == counts["not_continued"] == 0
