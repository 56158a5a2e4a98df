"""Packages of others are imported within a context, or when they are used."""

import importlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout

import pytest
from places import ROOT

from espnet_plugins.imports import functions_on_first_use, import_on_first_use, import_within


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


@pytest.fixture
def module_of_functions(tmp_path, monkeypatch):
    """The name of a module that prints when it is executed, with a function whose place a stand-in takes."""
    name = f"functions_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(
        "import os\nprint('executed')\nif 'REFUSED' in os.environ:\n    raise ValueError('refused')\n"
        "VALUE = 3\ndef double(x, *, plus=0):\n    return 2 * x + plus\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    functions_on_first_use({name: ["double"]})
    yield name
    sys.modules.pop(name, None)


def test_a_module_is_executed_when_its_function_is_called(module_of_functions, capsys):
    double = importlib.import_module(module_of_functions).double
    assert capsys.readouterr().out == ""
    assert (double.__name__, double.__module__) == ("double", module_of_functions)
    assert [double(2), double(2, plus=1), importlib.import_module(module_of_functions).double(3)] == [4, 5, 6]
    assert capsys.readouterr().out == "executed\n"


def test_all_else_of_such_a_module_executes_it(module_of_functions, capsys):
    module = importlib.import_module(module_of_functions)
    assert not hasattr(module, "__wrapped__")
    assert capsys.readouterr().out == ""
    assert module.VALUE == 3
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing
    assert capsys.readouterr().out == "executed\n"


def test_a_module_that_fails_fails_again(module_of_functions, monkeypatch):
    double = importlib.import_module(module_of_functions).double
    monkeypatch.setenv("REFUSED", "1")
    for _ in range(2):
        with pytest.raises(ValueError, match="refused"):
            double(2)
    monkeypatch.delenv("REFUSED")
    assert double(2) == 4


def test_several_threads_execute_it_once(module_of_functions, capsys):
    double = importlib.import_module(module_of_functions).double
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(double, range(8))) == [2 * x for x in range(8)]
    assert capsys.readouterr().out == "executed\n"


def test_a_program_does_not_import_what_few_models_use():
    code = (
        "import espnet_plugins.tasks, sys; "
        "unused = 'nltk.data', 'sklearn', 'g2p_en.g2p', 'hydra.utils', 'espnet2.gan_tts'; "
        "print([name for name in unused if name in sys.modules]); "
        "nltk = sys.modules.get('nltk'); print(nltk is None or nltk.bleu_score.sentence_bleu([[1, 2]], [1, 2]) > 0)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert result.stdout.splitlines()[-2:] == ["[]", "True"], result.stderr[-2000:]
