"""The examples in the docstrings print what they say."""

import doctest
import importlib

import pytest
from places import RECIPE, ROOT

PACKAGES = (ROOT / "espnet_plugins", RECIPE / "local")
MODULES = [
    ".".join(path.relative_to(package.parent).with_suffix("").parts)
    for package in PACKAGES
    for path in sorted(package.rglob("*.py"))
    # Those of soft-DTW need the default backend, and are run with its tests.
    if "soft_dtw" not in path.relative_to(package).parts and ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    if not result.attempted:
        pytest.skip("its examples need a package that is no part of the environment")
    assert result.failed == 0
