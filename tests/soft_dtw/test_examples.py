"""Examples in docstrings and documentation run and print what they say."""

import doctest
import importlib
import re

import pytest
from places import ROOT

README = ROOT / "README.md"
pytest.importorskip("numba", reason="the examples use the default backend")


@pytest.mark.parametrize("name", ["functional", "module"])
def test_docstrings(name):
    module = importlib.import_module(f"espnet_plugins.soft_dtw.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 2
    assert result.failed == 0


def test_ten_lines_of_the_readme():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = (block for block in blocks if "espnet_plugins.soft_dtw" in block)
    names = {}
    exec(compile(example, str(README), "exec"), names)
    assert names["loss"].isfinite()
    assert names["x"].grad.isfinite().all()
    # Nothing flows into the padding of the shorter estimate.
    assert not names["x"].grad[1, 31:].any()
    assert names["alignment"].shape == (2, 50, 60)
