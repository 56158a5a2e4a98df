"""Examples in docstrings and documentation run and print what they say."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "soft_dtw.md"
pytest.importorskip("numba", reason="the examples use the default backend")


@pytest.mark.parametrize("name", ["functional", "module"])
def test_docstrings(name):
    module = importlib.import_module(f"espnet_plugins.soft_dtw.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 2
    assert result.failed == 0


def test_ten_lines_of_the_documentation():
    example = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL).group(1)
    names = {}
    exec(compile(example, str(DOCUMENT), "exec"), names)
    assert names["loss"].isfinite()
    assert names["x"].grad.isfinite().all()
