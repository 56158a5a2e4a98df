"""The fast tier looks into every room, and names nothing that is gone."""

import pytest
import yaml
from places import ROOT
from tiers import fast_tier, longest, longest_first, second_stack

ROOMS = yaml.safe_load((ROOT / "docs" / "pictures" / "rooms.yaml").read_text("utf-8"))
# Rooms without a folder of tests of their own: what is on them.
INSIDE = {"atomic": "train", "checks": "objectives", "weights": "ssl", "schedule": "train", "pretrain": "ssl"}
INSIDE |= {
    "contents": "inference",
    "extensions": "objectives",
    "register": "inference",
    "tasks": "inference",
    "bin": "inference",
}
INSIDE |= {"recast": "recurrent", "compat": "recurrent"}


def folder_of(building, room):
    if building == "local":
        return f"tests/recipe/{room}/"
    if building == "espnet_plugins.analysis":
        return f"tests/analysis/{room}/"
    room = INSIDE.get(room, room)
    return f"tests/{room}/" if (ROOT / "tests" / room).is_dir() else f"tests/test_{room}.py"


@pytest.mark.parametrize(
    ("building", "room"), [(building, room) for building, rooms in ROOMS.items() for room in rooms]
)
def test_every_room_is_in_the_fast_tier(building, room):
    assert any(line.startswith(folder_of(building, room)) for line in fast_tier())


@pytest.mark.parametrize("line", [*fast_tier(), *second_stack(), *longest()])
def test_what_a_tier_names_is_there(line):
    path, _, test = line.partition("::")
    assert (ROOT / path).exists()
    assert test.split("[")[0] in (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_each_process_begins_with_its_share_of_the_longest(workers):
    long = [f"{line}[{k}]" for line in longest() for k in range(2)]
    tests = sorted([*long, *(f"tests/short.py::test_{k}" for k in range(203))])
    ordered = longest_first(tests, workers=workers, name=str)
    assert sorted(ordered) == tests
    begins = []
    # As pytest-xdist cuts the list: each process its share of what is left, rounded down.
    for k in range(workers):
        size = len(ordered) // (workers - k)
        part, ordered = ordered[:size], ordered[size:]
        own = [test for test in part if test in long]
        assert part[: len(own)] == own
        begins.append(len(own))
    assert sum(begins) == len(long)
    assert max(begins) - min(begins) <= 2
