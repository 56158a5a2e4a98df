"""Nothing reaches for the network when a program starts: here every attempt to connect or to look up a name fails."""

import importlib
import importlib.util
import os
import subprocess
import sys

import pytest
from places import RECIPE, ROOT

# Run in every process that starts, workers included: counts attempts in a file.
WATCH = """
import os, socket

def refuse(*args, **kwargs):
    with open(os.environ["ATTEMPTS"], "a") as log:
        print(args, file=log)
    raise OSError("no network here")

for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
    setattr(socket, name, refuse)
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse)
"""
# As they start: each first with its own package.
PROGRAMS = {
    "programs": "import pkgutil, importlib, espnet_plugins.bin as p; "
    "[importlib.import_module(f'{p.__name__}.{m.name}') for m in pkgutil.iter_modules(p.__path__)]",
    "recipe": "import pkgutil, importlib, local; [importlib.import_module(m.name) for m in "
    "pkgutil.walk_packages(local.__path__, 'local.')]; import espnet2.tasks.enh",
}


def attempts_of(folder, *command, **environment):
    """Run python with the network out of reach; gives its result and the attempts."""
    (folder / "sitecustomize.py").write_text(WATCH)
    log = folder / "attempts"
    paths = os.pathsep.join(map(str, (folder, RECIPE, ROOT)))
    # No data of NLTK: as on a machine that never fetched it.
    environment = {**os.environ, "PYTHONPATH": paths, "ATTEMPTS": str(log), "HOME": str(folder), **environment}
    environment.pop("NLTK_DATA", None)
    result = subprocess.run(
        [sys.executable, *command], env=environment, cwd=folder, capture_output=True, text=True, timeout=600
    )
    return result, log.read_text().splitlines() if log.exists() else []


@pytest.fixture(scope="module")
def without_data(tmp_path_factory):
    """Skips where NLTK's data lies in a place of the machine, or ESPnet comes without g2p_en (from 202611 on)."""
    if importlib.util.find_spec("g2p_en") is None:
        pytest.skip("g2p_en is not installed")
    code = "import nltk; nltk.data.find('corpora/cmudict.zip')"
    if attempts_of(tmp_path_factory.mktemp("data"), "-c", code)[0].returncode == 0:
        pytest.skip("this machine has NLTK's data")


def test_the_watch_sees_what_would_be_fetched(without_data, tmp_path):
    """Fails once g2p_en asks no more: then `espnet_plugins.offline` can go."""
    _, attempts = attempts_of(tmp_path, "-W", "ignore", "-c", "import g2p_en")
    assert attempts


@pytest.mark.parametrize("code", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_no_program_reaches_for_the_network(tmp_path, code):
    result, attempts = attempts_of(tmp_path, "-W", "ignore", "-c", code)
    assert result.returncode == 0, result.stderr[-3000:]
    assert attempts == []
    assert "nltk" not in result.stderr


def test_nltk_itself_is_as_before(without_data, tmp_path):
    """Its downloader too: whoever does want phonemes by g2p_en is told what to fetch."""
    code = (
        "import espnet_plugins, nltk; before = nltk.download; import g2p_en; assert nltk.download is before; "
        "print('imported'); g2p_en.G2p()"
    )
    result, attempts = attempts_of(tmp_path, "-W", "ignore", "-c", code)
    assert result.stdout == "imported\n", result.stderr[-3000:]
    assert attempts == []
    assert "Please use the NLTK Downloader" in result.stderr
