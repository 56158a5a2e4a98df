"""A training gets fewer threads where other programs keep the cores busy, and keeps its number."""

import os

import pytest

from local.common.errors import RecipeError
from local.jobs import cores


def stat(busy, total=1000):
    """A /proc/stat after `total` ticks of each core of this process, of which so many were not idle."""
    allowed = sorted(os.sched_getaffinity(0))[: len(busy)]
    lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
    lines += [f"cpu{core} {used} 0 0 {total - used} 0 0 0 0 0 0" for core, used in zip(allowed, busy, strict=True)]
    return "\n".join([*lines, f"cpu{max(os.sched_getaffinity(0)) + 1} 0 0 0 {total} 0 0 0 0 0", "intr 1 2 3", ""])


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """Give a function that says what share of each core is used while it is watched."""

    def use(*shares):
        path = tmp_path / "stat"
        path.write_text(stat([0] * len(shares), total=0))
        monkeypatch.setattr(cores, "_STAT", path)
        monkeypatch.setattr(
            cores.time, "sleep", lambda seconds: path.write_text(stat([int(1000 * share) for share in shares]))
        )

    return use


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize(
    ("shares", "threads"), [((0.0, 0.0), 2), ((0.1, 0.1), 2), ((0.3, 0.2), 1), ((1.0, 0.0), 1), ((1.0, 1.0), 1)]
)
def test_busy_cores_are_not_counted(watched, tmp_path, capsys, shares, threads):
    watched(*shares)
    assert cores.threads_for(2, tmp_path / "asr" / "espnet") == threads
    told = capsys.readouterr().out
    assert ("asr: 1 of 2 threads" in told) == (threads == 1)
    # It keeps them, whatever the others do later.
    watched(0.0, 0.0)
    assert cores.threads_for(2, tmp_path / "asr" / "espnet") == threads


def test_one_thread_and_trainings_of_before_are_left_alone(watched, tmp_path):
    watched(1.0)
    assert cores.threads_for(1, tmp_path / "new") == 1
    assert not (tmp_path / "new").exists()
    (tmp_path / "train.log").touch()
    assert cores.threads_for(2, tmp_path) == 2


def test_where_linux_does_not_say_the_preset_holds(monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "_STAT", tmp_path / "no such file")
    assert cores.free_cores(0.0) is None
    assert cores.threads_for(3, tmp_path / "asr") == 3


def test_a_damaged_note_is_named(tmp_path):
    (tmp_path / cores.NOTE).write_text("zwei")
    with pytest.raises(RecipeError, match="threads is damaged: it holds 'zwei'"):
        cores.threads_for(2, tmp_path)


def test_the_real_cores_are_watched():
    free = cores.free_cores(0.2)
    assert 0 <= free <= len(os.sched_getaffinity(0)) + 0.01
