"""The examples in the docstrings print what they say."""

import doctest
import importlib

import pytest
from places import ROOT

PACKAGE = ROOT / "espnet_plugins"
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    # Those of soft-DTW need the default backend, and are run with its tests.
    if "soft_dtw" not in path.relative_to(PACKAGE).parts and ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    if not result.attempted:
        pytest.skip("its examples need a package that is no part of the environment")
    assert result.failed == 0
