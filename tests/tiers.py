"""The tiers of tests that are not told by a marker in the test."""

from places import ROOT


def fast_tier():
    """Beginnings of the ids of tests in the fast tier."""
    lines = (ROOT / "tests" / "fast_tier.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))
