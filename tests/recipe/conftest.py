"""A corpus small enough for tests, synthesized and mixed once by stage 1 of the recipe."""

import os
import subprocess
from pathlib import Path

import pytest
from stages import Stages

from local.corpora import catalogue


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory):
    """The recipe's stages after stage 1 on a tiny preset; tests must leave its preset as it was."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        stages = Stages(tmp_path_factory.mktemp("recipe"), monkeypatch)
        stages(catalogue)
        yield stages


@pytest.fixture(scope="session")
def tiny_corpus(tiny_recipe) -> Path:
    """The folder with the synthesized corpora; tests must not change it."""
    return tiny_recipe.root / "data" / "corpora" / "mini"


@pytest.fixture(scope="session")
def tiny_mixtures(tiny_recipe) -> Path:
    """Libri2Mix/ of the tiny corpus: mix_single in max mode."""
    return tiny_recipe.root / "data" / "corpora" / "librimix" / "Libri2Mix"


@pytest.fixture
def make_read_only():
    """Makes a folder one that nobody can write to, until the test ends."""
    made = []

    def protect(folder):
        commands = (["mount", "--bind", folder, folder], ["mount", "-o", "remount,bind,ro", folder])
        if os.geteuid() != 0 or any(subprocess.run(c, capture_output=True).returncode for c in commands):
            pytest.skip("a read-only mount takes root")
        made.append(folder)

    yield protect
    for folder in made:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
