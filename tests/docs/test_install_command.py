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


@pytest.mark.skipif(not UV.exists(), reason="no uv beside this interpreter")
def test_recipe_extra_gives_what_the_recipe_needs(tmp_path):
    assert "pip install -e '.[recipe]'" in (ROOT / "README.md").read_text(encoding="utf-8")
    # Installed from a copy: an editable install would write into the checkout.
    copy = tmp_path / "copy of it"
    shutil.copytree(ROOT / "espnet_plugins", copy / "espnet_plugins")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    python = tmp_path / "venv" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def uv(*words):
        return subprocess.run([UV, *words], env=environment, capture_output=True, text=True)

    assert uv("venv", "-q", "--python", sys.executable, str(tmp_path / "venv")).returncode == 0
    result = uv("pip", "install", "-q", "--python", str(python), f"{copy}[recipe]")
    if "error sending request" in result.stderr or "dns error" in result.stderr:
        pytest.skip("PyPI is not reachable")
    assert result.returncode == 0, result.stderr[-2000:]
    check = [str(ROOT / "tools" / "setup.sh")]
    own = {**environment, "OWN_PYTHON": str(python)}
    subprocess.run(check, env=own, check=True, timeout=600)
    code = "import importlib.metadata as m; print(m.version('espnet'), m.version('torch'))"
    versions = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert versions == (["202511", "2.11.0"] if sys.version_info < (3, 12) else ["202611", "2.14.1"])
