"""Packages of others are imported within a context, or when they are used."""

import importlib
import io
import os
import subprocess
import sys
from contextlib import redirect_stdout

import pytest
from places import ROOT

from espnet_plugins.imports import import_on_first_use, import_within


def test_a_module_is_imported_within_a_context(tmp_path, monkeypatch, capsys):
    name = f"prints_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text("print('imported')\nVALUE = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    import_within([name], lambda: redirect_stdout(io.StringIO()))
    assert importlib.import_module(name).VALUE == 3
    assert capsys.readouterr().out == ""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package that prints when it is imported."""
    name = f"printing_{tmp_path.name}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("print('imported')\nVALUE = 3\n")
    (folder / "part.py").write_text("VALUE = 4\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    import_on_first_use([name])
    yield name
    for known in [known for known in sys.modules if known.partition(".")[0] == name]:
        del sys.modules[known]


def test_a_package_is_imported_when_it_is_used(package, capsys):
    module = importlib.import_module(package)
    assert capsys.readouterr().out == ""
    assert module.VALUE == 3
    assert importlib.import_module(package).VALUE == 3
    assert capsys.readouterr().out == "imported\n"


def test_a_part_of_a_package_is_there_at_once(package, capsys):
    assert importlib.import_module(f"{package}.part").VALUE == 4
    assert capsys.readouterr().out == "imported\n"


def test_what_is_not_installed_is_missing_as_before():
    import_on_first_use(["not_installed_anywhere"])
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        importlib.import_module("not_installed_anywhere")


def test_a_program_does_not_import_what_few_models_use():
    code = (
        "import espnet_plugins.tasks, sys; "
        "print([name for name in ('nltk.data', 'sklearn', 'g2p_en.g2p', 'hydra.utils') if name in sys.modules]); "
        "nltk = sys.modules.get('nltk'); print(nltk is None or nltk.bleu_score.sentence_bleu([[1, 2]], [1, 2]) > 0)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert result.stdout.splitlines()[-2:] == ["[]", "True"], result.stderr[-2000:]
