"""pip and uv take a tested set for this package's extras, or end; without a network, from an index of empty wheels.

The index has ESPnet's releases with the bounds of theirs that matter. ESPnet 202402 has none, so that a resolver takes
it in silence where a newer release does not fit.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from places import ROOT

pytestmark = pytest.mark.pages

UV = Path(sys.executable).with_name("uv")
PACKAGE = "espnet-plugins-ssl-enh"
# Versions and what they require, where more than one is there. The versions of all else are of no importance.
RELEASES = {
    "espnet": {
        "202402": [],
        "202511": ["torch>=2.0.1,<2.12", "setuptools<74"],
        "202611": ["torch!=2.12.0,!=2.12.1,<2.15,>=2.11.0", "torchaudio<2.12,>=2.11.0", "setuptools<82,>=77.0.3"],
    },
    "torch": dict.fromkeys(["2.6.0", "2.11.0", "2.14.1", "2.15.0"], ()),
    "torchaudio": dict.fromkeys(["2.11.0", "2.11.1"], ()),
    "numpy": dict.fromkeys(["1.23.5", "2.2.6", "2.5.5"], ()),
    "setuptools": dict.fromkeys(["73.0.1", "81.0.0", "84.0.0"], ()),
    "pesq": {"0.0.4": []},
}
FIRST, SECOND = {"espnet": "202511", "torch": "2.11.0"}, {"espnet": "202611", "torch": "2.14.1"}
STACKS = {"3.10": FIRST, "3.11": FIRST, "3.12": SECOND, "3.13": SECOND}


def write_wheel(folder, name, version, requirements=(), extras=(), python=">=3.8"):
    """A distribution without content."""
    stem = f"{name.replace('-', '_')}-{version}"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}"]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    """What setup.py says of this package."""
    folder = tmp_path_factory.mktemp("package")
    for name in ("setup.py", "README.md"):
        shutil.copy(ROOT / name, folder)
    (folder / "espnet_plugins").mkdir()
    (folder / "espnet_plugins" / "__init__.py").write_text("")
    command = [sys.executable, "setup.py", "-q", "egg_info"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return message_from_string(next(folder.glob("*.egg-info/PKG-INFO")).read_text(encoding="utf-8"))


@pytest.fixture
def index(metadata, tmp_path):
    """A folder of wheels: this package, all it names, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    requirements = metadata.get_all("Requires-Dist")
    extras, python = metadata.get_all("Provides-Extra"), metadata["Requires-Python"]
    write_wheel(folder, PACKAGE, "1.0", requirements, extras, python)
    for name in {Requirement(line).name for line in requirements} | set(RELEASES):
        for version, needed in RELEASES.get(name, {"1.0": []}).items():
            write_wheel(folder, name, version, needed, ["enh", "numba", "python"])
    return folder


def find_python(version):
    """An interpreter of a version, on the PATH or pyenv's; markers are those of the interpreter that runs pip."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    # A shim of pyenv may stand on the PATH for a version that is not chosen.
    for candidate in (shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")):
        if candidate is None:
            continue
        command = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        with contextlib.suppress(OSError):
            if subprocess.run(command, capture_output=True, text=True).stdout.strip() == version:
                return str(candidate)
    pytest.skip(f"no python {version} here for pip")


def resolve(tool, index, version, *requirements):
    """What a tool would install, name -> version; None where it ends with an error."""
    source = ["--no-index", "--find-links", str(index)]
    folder = index.parent
    if tool == "uv":
        (folder / "asked.in").write_text("\n".join(requirements))
        command = [str(UV), "pip", "compile", *source, "--python-version", version, "-q", "--no-header"]
        # Not to look for an interpreter of that version, which takes half a minute at pyenv's: none is run.
        command += ["--no-annotate", "--python", sys.executable, str(folder / "asked.in")]
    else:
        pip = [sys.executable, "-m", "pip", "--python", find_python(version), "install"]
        options = ["--dry-run", "--ignore-installed", "--disable-pip-version-check", "--target", str(folder / "target")]
        command = [*pip, *source, *options, "--report", str(folder / "report.json"), "-q", *requirements]
    # What this machine has configured for either plays no part.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    if result.returncode != 0:
        reasons = ["unsatisfiable", "No matching distribution", "conflicting dependencies", "a different Python"]
        assert any(reason in result.stderr for reason in reasons), result.stderr
        return None
    if tool == "uv":
        return dict(line.split("==") for line in result.stdout.split())
    report = json.loads((folder / "report.json").read_text())
    return {found["metadata"]["name"]: found["metadata"]["version"] for found in report["install"]}


@pytest.fixture(params=["uv", "pip"])
def tool(request):
    if request.param == "uv" and not UV.exists():
        pytest.skip("no uv beside this interpreter")
    if request.param == "pip" and not importlib.util.find_spec("pip"):
        pytest.skip("no pip in this environment")
    return request.param


@pytest.mark.parametrize("version", STACKS)
def test_a_tested_set(index, tool, version):
    found = resolve(tool, index, version, f"{PACKAGE}[recipe]")
    assert {name: found[name] for name in ("espnet", "torch")} == STACKS[version]


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_without_versions_a_resolver_takes_an_espnet_of_years_ago(index, tool, version):
    """What this package's bounds are for; beside a torch that is too new for the release that fits the others."""
    assert resolve(tool, index, version, "espnet", "torch>=2.15")["espnet"] == "202402"
    assert resolve(tool, index, version, f"{PACKAGE}[recipe]", "torch>=2.15") is None


@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_where_the_tested_release_is_not_to_be_had(index, tool, version):
    next(index.glob(f"espnet-{STACKS[version]['espnet']}-*")).unlink()
    assert resolve(tool, index, version, "espnet") is not None
    assert resolve(tool, index, version, f"{PACKAGE}[recipe]") is None


@pytest.mark.parametrize("build", ["cpu", "cu130"])
@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_builds_of_torch_for_one_device(index, tool, version, build):
    """As its own indices have them; of another version, they are refused."""
    for name in ("torch", "torchaudio"):
        for wheel in [*index.glob(f"{name}-*")]:
            wheel.unlink()
    write_wheel(index, "torchaudio", "2.11.0" if version == "3.11" else "2.11.1")
    write_wheel(index, "torch", f"2.15.0+{build}")
    assert resolve(tool, index, version, f"{PACKAGE}[recipe]") is None
    write_wheel(index, "torch", f"{STACKS[version]['torch']}+{build}")
    found = resolve(tool, index, version, f"{PACKAGE}[recipe]")
    assert found["torch"] == f"{STACKS[version]['torch']}+{build}"


@pytest.mark.parametrize("version", ["3.9", "3.14"])
def test_a_python_that_was_not_tested_is_refused(index, tool, version):
    assert resolve(tool, index, version, f"{PACKAGE}[recipe]") is None
