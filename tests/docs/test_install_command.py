"""The README's command installs library and ESPnet into an environment of one's own, in versions that were tested."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

pytestmark = pytest.mark.recipe
# Inside the recipe's own environment, whose uv and whose cache of wheels this uses.
UV = Path(sys.executable).with_name("uv")
UNREACHABLE = ("error sending request", "dns error", "Temporary failure in name resolution", "ConnectTimeoutError")


def run_online(*command, **options):
    """Run a program that asks the registry; skips where it fails for want of a network."""
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if result.returncode and any(words in result.stderr for words in UNREACHABLE):
        pytest.skip("PyPI is not reachable")
    return result


@pytest.mark.skipif(not UV.exists(), reason="no uv beside this interpreter")
@pytest.mark.parametrize("installer", ["uv", pytest.param("pip", marks=pytest.mark.install)])
def test_recipe_extra_gives_what_the_recipe_needs(tmp_path, installer):
    assert "pip install -e '.[recipe]'" in (ROOT / "README.md").read_text(encoding="utf-8")
    # Installed from a copy: an editable install would write into the checkout.
    copy = tmp_path / "copy of it"
    shutil.copytree(ROOT / "espnet_plugins", copy / "espnet_plugins")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    python = tmp_path / "venv" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    venv, install = {
        "uv": ([UV, "venv", "-q", "--python", sys.executable], [UV, "pip", "install", "-q", "--python", python]),
        "pip": ([sys.executable, "-m", "venv"], [python, "-m", "pip", "install", "-q"]),
    }[installer]
    subprocess.run([*venv, tmp_path / "venv"], check=True)
    result = run_online(*install, f"{copy}[recipe]", env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    own = {**environment, "OWN_PYTHON": str(python)}
    subprocess.run([str(ROOT / "tools" / "setup.sh")], env=own, check=True, timeout=600)
    code = "import importlib.metadata as m; print(m.version('espnet'), m.version('torch'))"
    versions = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert versions == (["202511", "2.11.0"] if sys.version_info < (3, 12) else ["202611", "2.14.1"])
    # Asked for what was not tested, it ends and leaves the environment as it was.
    refused = run_online(*install, f"{copy}[recipe]", "torch>=2.15", env=environment)
    assert refused.returncode != 0
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split() == versions


@pytest.mark.skipif(not UV.exists(), reason="no uv beside this interpreter")
@pytest.mark.parametrize(
    ("version", "expected"),
    [
        *((version, {"espnet==202511", "torch==2.11.0"}) for version in ("3.10", "3.11")),
        *((version, {"espnet==202611", "torch==2.14.1", "fast-bss-eval==0.1.3"}) for version in ("3.12", "3.13")),
    ],
)
def test_a_resolver_takes_a_tested_set_or_ends(tmp_path, version, expected):
    """All that a registry has today, in uv's resolver; test_resolvers.py has pip's, too, and other cases, offline."""

    def resolve(*words):
        options = ["--python-version", version, "--no-header", "--no-annotate", "-q", *words]
        # Of this interpreter, not one that uv looks for, half a minute at pyenv's: markers are those of the version.
        options += ["--python", sys.executable]
        command = [UV, "pip", "compile", ROOT / "setup.py", "--extra", "recipe", *options]
        return run_online(*command, cwd=tmp_path)

    result = resolve()
    assert result.returncode == 0, result.stderr
    assert expected <= {*result.stdout.splitlines()}
    (tmp_path / "newer.txt").write_text("torch>=2.15\n")
    refused = resolve("--constraint", tmp_path / "newer.txt")
    assert refused.returncode != 0
    assert "unsatisfiable" in refused.stderr
