"""The command that makes every published result again."""

import subprocess

import pytest
from places import ROOT

from espnet_plugins.analysis.report.archive import SUFFIX

pytestmark = pytest.mark.pages

SCRIPT = ROOT / "benchmarks" / "from_scratch.sh"


def call(*options):
    return subprocess.run([SCRIPT, *options], capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--fast"], "unknown option '--fast'"),
        (["--nj", "0"], "--nj takes a positive whole number, not '0'"),
        (["--only", "maxi"], "--only takes one of mini paper_mini"),
        (["--fsdd"], "--fsdd needs a value"),
    ],
)
def test_wrong_options_are_named(options, complaint):
    result = call(*options)
    assert result.returncode == 2
    assert complaint in result.stderr


@pytest.mark.recipe
def test_it_makes_all_that_is_published(tmp_path):
    result = call("--dry_run", "--noise", str(tmp_path), "--rirs", str(tmp_path))
    assert result.returncode == 0, result.stderr
    made = {line.removeprefix("== ") for line in result.stdout.splitlines() if line.startswith("== ")}
    results = ROOT / "results"
    archives = {path.name.removesuffix(SUFFIX) for path in results.glob(f"*{SUFFIX}")}
    assert archives | {path.stem for path in (results / "studies").glob("*.json")} <= made
    assert "stage 5 ssl_soft_dtw_pad_joint_seed2: 200 updates" in result.stdout
    assert "benchmarks/positions.py --preset mini" in result.stdout
