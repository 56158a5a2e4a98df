"""Parallel work keeps its order, stops at the first failure, and does not hang when a process dies."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from local.common.errors import MissingInput, RecipeError
from local.common.parallel import _serve, parallel_map


def square(number):
    return number * number


def fail_at_seven(number):
    if number == 7:
        raise RecipeError("seven is bad")
    return number


def process_id(_):
    return os.getpid()


def threads(_):
    return os.environ.get("OMP_NUM_THREADS")


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def crash_at_seven(number):
    """Ends the process at 7, as a fault in a C library does."""
    if number == 7:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number


def leave_at_seven(number):
    if number == 7:
        os._exit(3)
    return number


def hang_at_seven(number):
    while number == 7:
        time.sleep(1)
    return number


class SlowToArrive:
    """A function that a process takes long to load, and has at once."""

    def __setstate__(self, state):
        time.sleep(2)

    def __getstate__(self):
        return {"any": True}

    def __call__(self, number):
        return number


def crash_once(mark):
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def large(number):
    return np.full(100_000, number)


def unpicklable(_):
    return lambda: None


def said(task, reason):
    return f"{task}: {reason}"


@pytest.mark.parametrize("nj", [1, 3])
def test_results_come_in_the_order_of_the_tasks(nj):
    assert list(parallel_map(square, range(100), nj=nj, batch=3)) == [i * i for i in range(100)]


def test_a_failure_is_raised_as_it_was():
    with pytest.raises(RecipeError, match="seven is bad"):
        list(parallel_map(fail_at_seven, range(100), nj=2))


def test_tasks_are_taken_as_they_are_needed():
    taken = itertools.count()
    tasks = (next(taken) for _ in range(10_000))
    results = parallel_map(square, tasks, nj=1, total=10_000, batch=4)
    assert next(results) == 0
    assert next(taken) < 40
    results.close()


def test_a_process_has_one_thread():
    """Also where nothing is said about threads: in a program of its own, whose server of processes is not yet there."""
    code = "from test_parallel import *; print(*parallel_map(threads, [0], nj=1), os.environ.get('OMP_NUM_THREADS'))"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.split() == ["1", "None"]


def test_a_fresh_process_for_every_task():
    pids = list(parallel_map(process_id, range(4), nj=2, fresh=True))
    assert len(set(pids)) == 4


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(("nj", "remedy"), [(2, ": try a smaller --nj than 2"), (1, ", of which this machine has too")])
def test_a_killed_process_is_an_error(fresh, nj, remedy):
    with pytest.raises(RecipeError, match=rf"was killed, mostly for memory{remedy}.*; it worked on 'utt[01]'"):
        list(parallel_map(die, range(4), nj=nj, fresh=fresh, name=lambda task: f"'utt{task}'"))


@pytest.mark.parametrize(("function", "ended"), [(crash_at_seven, "SIGSEGV"), (leave_at_seven, "exit code 3")])
def test_a_process_that_ended_is_named_with_its_task(function, ended):
    with pytest.raises(RecipeError, match=f"ended with {ended}; it worked on 7$"):
        list(parallel_map(function, range(40), nj=2))


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("nj", [1, 3])
def test_one_task_that_ends_its_process_costs_that_task_alone(nj, fresh):
    count = 9 if fresh else 40
    results = list(parallel_map(crash_at_seven, range(count), nj=nj, fresh=fresh, lost=said))
    assert results == ["7: its process ended with SIGSEGV" if i == 7 else i for i in range(count)]


def test_one_task_that_hangs_costs_that_task_alone():
    results = list(parallel_map(hang_at_seven, range(20), nj=2, lost=said, seconds=3))
    assert results == ["7: took more than 3 s" if i == 7 else i for i in range(20)]
    with pytest.raises(RecipeError, match="took more than 1 s; it worked on 7"):
        list(parallel_map(hang_at_seven, [7], nj=1, seconds=1))


def test_the_start_of_a_process_is_no_time_of_its_task():
    assert list(parallel_map(SlowToArrive(), range(3), nj=1, seconds=1)) == [0, 1, 2]


def test_a_process_killed_by_chance_is_no_loss(tmp_path):
    assert list(parallel_map(crash_once, [tmp_path / "mark"], nj=1, lost=said)) == ["done"]


def test_large_tasks_and_results_do_not_block_each_other():
    results = list(parallel_map(large, range(50), nj=2))
    assert [result[0] for result in results] == list(range(50))
    echoed = list(parallel_map(np.negative, (np.full(200_000, i) for i in range(50)), nj=2, total=50))
    assert [array[-1] for array in echoed] == [-i for i in range(50)]


def test_a_result_that_cannot_be_sent_is_an_error():
    with pytest.raises(RecipeError, match="cannot be sent"):
        list(parallel_map(unpicklable, range(3), nj=1))


class Demanding(Exception):
    """Cannot be made anew of its text alone, as it comes from another process."""

    def __init__(self, path, reason):
        super().__init__(f"{path}: {reason}")


def demand(number):
    raise Demanding(number, "is bad") if number == 7 else MissingInput(Path("a/b"), number)


def test_an_exception_that_asks_for_more_than_a_text_arrives(capfd):
    with pytest.raises(RecipeError, match="Demanding: 7: is bad"):
        list(parallel_map(demand, [7], nj=1))
    with pytest.raises(MissingInput, match="a/b is missing: stage 2 makes it"):
        list(parallel_map(demand, [2], nj=1))


def test_a_process_that_may_not_start_a_thread_says_so(monkeypatch):
    """Where memory or the number of processes is limited; else its task looks as if it had ended the process."""

    def refuse(_):
        raise RuntimeError("can't start new thread")

    ours, theirs = multiprocessing.Pipe()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        patched.setattr(signal, "signal", lambda *_: None)
        _serve(theirs, square)
    assert ours.recv() == "ready"
    _, error, _ = ours.recv()
    assert isinstance(error, RecipeError)
    assert "can't start new thread: too little memory" in str(error)
