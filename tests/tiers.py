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


def longest():
    """Beginnings of the ids of tests that come before all others."""
    return _listed("longest_first.txt")


def longest_first(items, *, workers, name):
    """The tests in an order in which each process begins with its share of the longest.

    pytest-xdist (--dist worksteal) first gives each process one part of the list, all parts of one length up to
    rounding; who is done takes over the end of another's part.

    Args:
        items: Tests.
        workers: Processes that share them.
        name: Gives a test's id.

    Returns:
        All of them. The lines of the list of the longest go to the processes in turn, the tests of a line together.
    """
    lines = longest()
    shares, others = [[] for _ in range(workers)], []
    groups = [[] for _ in lines]
    for item in items:
        place = next((k for k, line in enumerate(lines) if name(item).startswith(line)), None)
        (others if place is None else groups[place]).append(item)
    for k, group in enumerate(filter(None, groups)):
        shares[k % workers] += group
    ordered, left = [], len(items)
    for k, share in enumerate(shares):
        size = left // (workers - k)
        filled = max(0, size - len(share))
        ordered += share + others[:filled]
        others, left = others[filled:], left - size
    return ordered + others
