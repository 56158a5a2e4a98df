"""The tiers of tests that are not told by a marker in the test, and the order of all tests."""

from places import ROOT


def _listed(name):
    lines = (ROOT / "tests" / name).read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def fast_tier():
    """Beginnings of the ids of tests in the fast tier."""
    return _listed("fast_tier.txt")


def second_stack():
    """Beginnings of the ids of tests that run on the other stack of ESPnet and torch, too."""
    return _listed("second_stack.txt")


def longest_first():
    """Beginnings of the ids of tests that come before all others."""
    return _listed("longest_first.txt")
