"""Parallel work keeps its order, stops at the first failure, and does not hang when a process dies."""

import itertools
import os
import signal

import pytest

from local.common.parallel import parallel_map
from local.common.steps import RecipeError


def square(number):
    return number * number


def fail_at_seven(number):
    if number == 7:
        raise RecipeError("seven is bad")
    return number


def process_id(_):
    return os.getpid()


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


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


def test_a_fresh_process_for_every_task():
    pids = list(parallel_map(process_id, range(4), nj=2, fresh=True))
    assert len(set(pids)) == 4


@pytest.mark.parametrize("fresh", [False, True])
def test_a_killed_process_is_an_error(fresh):
    with pytest.raises(RecipeError, match="was killed, mostly for memory"):
        list(parallel_map(die, range(4), nj=2, fresh=fresh))
