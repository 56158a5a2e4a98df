"""Work in parallel processes with progress, in order, with bounded memory and clear failures."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from tqdm import tqdm

from local.common.steps import RecipeError

Task = TypeVar("Task")
Result = TypeVar("Result")


def _context() -> multiprocessing.context.BaseContext:
    """Processes forked from a clean server: they start fast and inherit no threads."""
    context = multiprocessing.get_context("forkserver")
    # What the recipe's modules import, so that a new process need not.
    context.set_forkserver_preload(["numpy", "scipy.signal", "soundfile", "soxr", "tqdm", "yaml"])
    return context


def _run_batch(function: Callable[[Any], Any], batch: list[Any]) -> list[Any]:
    return [function(task) for task in batch]


def _run_fresh(function: Callable[[Any], Any], batch: list[Any]) -> list[Any]:
    """Run each task in a process of its own, which ends with it."""
    results = []
    for task in batch:
        with ProcessPoolExecutor(1, mp_context=_context()) as executor:
            results.append(executor.submit(function, task).result())
    return results


def parallel_map(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    nj: int,
    total: int | None = None,
    description: str = "",
    unit: str = "utt",
    batch: int = 8,
    fresh: bool = False,
) -> Iterator[Result]:
    """Apply a function to many tasks in parallel processes.

    No more than a few batches per process are in flight, so that memory does not grow with their number.
    At the first failure what has not begun is dropped and the failure is raised.

    Args:
        function: A module-level function of one task.
        tasks: What it is applied to; anything that can be pickled.
        nj: Number of processes.
        total: Number of tasks, for the progress bar; by default their length.
        description: Shown before the progress bar.
        unit: What a task is called there.
        batch: Tasks handed over at a time.
        fresh: Whether every task gets a process of its own, for libraries that keep a state.

    Yields:
        The results, in the order of the tasks.

    Raises:
        RecipeError: When a process dies, which mostly means that memory ran out.

    Example:
        >>> list(parallel_map(abs, [-1, -2], nj=1))
        [1, 2]
    """
    if total is None:
        tasks = list(tasks)
        total = len(tasks)
    queue = iter(tasks)
    batch = 1 if fresh else max(1, min(batch, total // (2 * nj)))
    run = _run_fresh if fresh else _run_batch
    progress = tqdm(total=total, desc=description, unit=unit, disable=not description, mininterval=1.0)
    executor: Executor = ThreadPoolExecutor(nj) if fresh else ProcessPoolExecutor(nj, mp_context=_context())
    pending: deque[Future[list[Result]]] = deque()
    try:
        while True:
            while len(pending) < 4 * nj and (block := list(islice(queue, batch))):
                pending.append(executor.submit(run, function, block))
            if not pending:
                return
            results = pending.popleft().result()
            progress.update(len(results))
            yield from results
    except BrokenProcessPool as error:
        raise RecipeError(
            f"a process for '{description or function.__name__}' was killed, mostly for memory: "
            f"try a smaller --nj than {nj}"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        progress.close()
