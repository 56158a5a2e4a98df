"""Work in parallel processes with progress, in order, with bounded memory and clear failures."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from local.common.errors import RecipeError
from local.common.progress import Bar

Task = TypeVar("Task")
Result = TypeVar("Result")
_NAME_LENGTH = 200
# Seconds that a process may take to start, on a busy machine and with all that its function's module imports.
_START = 60.0
# What a process sends first.
_READY = "ready"


class _RemoteTraceback(Exception):
    """Where in another process an exception was raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _context() -> multiprocessing.context.BaseContext:
    """Processes forked from a clean server: they start fast and inherit no threads."""
    context = multiprocessing.get_context("forkserver")
    # What the recipe's modules import, and those that are there by now, so that a new process need not.
    own = [name for name in sys.modules if name.startswith("local.")]
    context.set_forkserver_preload(["numpy", "scipy.signal", "soundfile", "soxr", "tqdm", "yaml", *own])
    # The processes have what the server had when it was started: one thread each, else the libraries below them take
    # one per core.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    forkserver.ensure_running()
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    return context


def _serve(connection: Connection, function: Callable[[Any], Any]) -> None:
    """Answer tasks one by one, in a process of their own, until the other end is closed."""
    # Ctrl-C reaches the whole group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def receive() -> None:
        # A thread, so that the parent never waits with a task while this process waits with a result.
        try:
            while True:
                tasks.put(connection.recv())
        except (EOFError, OSError):
            tasks.put(None)

    try:
        connection.send(_READY)
    except (BrokenPipeError, ConnectionResetError):
        return
    try:
        threading.Thread(target=receive, daemon=True).start()
    except RuntimeError as error:
        refused = RecipeError(f"a process cannot work: {error}: too little memory, or a limit on processes")
        connection.send((None, refused, traceback.format_exc()))
        return
    while (task := tasks.get()) is not None:
        try:
            answer: tuple[Any, ...] = (function(*task), None, "")
        except Exception as error:
            answer = (None, _sendable(error), traceback.format_exc())
        try:
            connection.send(answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            connection.send((None, RecipeError(f"a result cannot be sent: {error}"), traceback.format_exc()))


def _sendable(error: Exception) -> Exception:
    """An exception that the other end can read; one whose class asks for more than a text is told in words."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RecipeError(f"{type(error).__name__}: {error}")
    return error


class _Worker:
    """A process and the tasks that it has not answered yet, the one it works on first."""

    def __init__(self, function: Callable[[Any], Any]):
        context = _context()
        self.connection, theirs = context.Pipe()
        self.process: Any = context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(theirs, function), daemon=True
        )
        self.process.start()
        theirs.close()
        self.waiting: deque[int] = deque()
        # When it began its first task: the start of the process is not counted as the task's time.
        self.ready, self.since = False, time.monotonic() + _START

    def give(self, index: int, task: Any) -> None:
        """Hand over a task; a process that died meanwhile is found out later."""
        if self.ready and not self.waiting:
            self.since = time.monotonic()
        self.waiting.append(index)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((task,))

    def answers(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """What has arrived: number of the task, and (result, exception, traceback)."""
        try:
            while self.waiting and self.connection.poll():
                answer = self.connection.recv()
                self.since = time.monotonic()
                if not self.ready:
                    self.ready = True
                    continue
                yield self.waiting.popleft(), answer
        except (EOFError, OSError):
            return

    def end(self, patience: float | None = None) -> str:
        """Let the process finish its task, for `patience` seconds at most, and say how it ended."""
        self.connection.close()
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _named(task: Any) -> str:
    text = str(task)
    return text if len(text) <= _NAME_LENGTH else f"{text[:_NAME_LENGTH]}..."


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
    name: Callable[[Task], str] = _named,
    lost: Callable[[Task, str], Result] | None = None,
    seconds: float | None = None,
) -> Generator[Result, None, None]:
    """Apply a function to many tasks in parallel processes.

    No more than a few tasks per process are in flight, so that memory does not grow with their number.
    At the first failure what has not begun is dropped and the failure is raised.

    Args:
        function: A module-level function of one task.
        tasks: What it is applied to; anything that can be pickled.
        nj: Number of processes.
        total: Number of tasks, for the progress bar; by default their length.
        description: Shown before the progress bar.
        unit: What a task is called there.
        batch: Tasks that a process has before it at a time.
        fresh: Whether every task gets a process of its own, for libraries that keep a state.
        name: What messages call a task.
        lost: Gives, of a task and a reason, what stands for the result where the process ended on it twice or
            took longer than `seconds`; the others go on. By default that is an error.
        seconds: How long a task may take, the start of its process not counted.

    Yields:
        The results, in the order of the tasks.

    Raises:
        RecipeError: When a process dies or a task takes too long, naming the task.

    Example:
        >>> list(parallel_map(abs, [-1, -2], nj=1))
        [1, 2]
    """
    if total is None:
        tasks = list(tasks)
        total = len(tasks)
    depth = 1 if fresh else max(1, min(batch, total // (2 * nj)))
    progress = Bar(total=total, desc=description, unit=unit, disable=not description)
    pool = _Pool(function, iter(tasks), nj=nj, depth=depth, fresh=fresh, name=name, lost=lost, seconds=seconds)
    pool.called = description or getattr(function, "__name__", "a task")
    try:
        for result in pool.results():
            progress.update()
            yield result
    finally:
        pool.close()
        progress.close()


class _Pool:
    """The state of one parallel_map(), whose arguments it takes; `depth` is the number of tasks before a process."""

    called = ""

    def __init__(
        self,
        function: Callable[[Any], Any],
        tasks: Iterator[Any],
        *,
        nj: int,
        depth: int,
        fresh: bool,
        name: Callable[[Any], str],
        lost: Callable[[Any, str], Any] | None,
        seconds: float | None,
    ):
        self.function, self.source, self.nj, self.depth, self.fresh = function, tasks, nj, depth, fresh
        self.name, self.lost, self.seconds = name, lost, seconds
        self.workers: list[_Worker] = []
        # Taken and not yet yielded, by number; what has come of them; those to be given again.
        self.tasks: dict[int, Any] = {}
        self.done: dict[int, Any] = {}
        self.again: deque[int] = deque()
        self.deaths: dict[int, int] = {}
        self.taken, self.exhausted = 0, False

    def results(self) -> Iterator[Any]:
        """The results in the order of the tasks."""
        following = 0
        while True:
            self._hand_out()
            while following in self.done:
                self.tasks.pop(following)
                result = self.done.pop(following)
                following += 1
                yield result
                self._hand_out()
            if self.exhausted and not self.tasks:
                return
            self._collect()

    def close(self) -> None:
        """End all processes; what they work on they finish, in the time that a task has."""
        for worker in self.workers:
            worker.connection.close()
        while self.workers:
            self.workers.pop().end(self.seconds)

    def _next(self) -> int | None:
        """The number of the next task to hand out."""
        if self.again:
            return self.again.popleft()
        if self.exhausted or len(self.tasks) >= 4 * self.nj * self.depth:
            return None
        try:
            task = next(self.source)
        except StopIteration:
            self.exhausted = True
            return None
        self.tasks[self.taken] = task
        self.taken += 1
        return self.taken - 1

    def _hand_out(self) -> None:
        while True:
            free = min(self.workers, key=lambda worker: len(worker.waiting), default=None)
            if free is not None and free.waiting and len(self.workers) < self.nj:
                free = None
            if free is not None and len(free.waiting) >= self.depth:
                return
            index = self._next()
            if index is None:
                return
            if free is None:
                free = _Worker(self.function)
                self.workers.append(free)
            free.give(index, self.tasks[index])

    def _collect(self) -> None:
        """Wait until something happens, and take it in."""
        busy = [worker for worker in self.workers if worker.waiting]
        limit = None
        if self.seconds is not None:
            limit = max(0.0, min(w.since for w in busy) + self.seconds - time.monotonic())
        wait([handle for w in busy for handle in (w.connection, w.process.sentinel)], limit)
        for worker in busy:
            # In this order: what a process sent before it ended has arrived when it is seen to have ended.
            alive = worker.process.is_alive()
            answered = False
            for index, (result, error, where) in worker.answers():
                if error is not None:
                    raise error from _RemoteTraceback(where)
                self.done[index], answered = result, True
            if not alive and worker.waiting:
                self._died(worker, "")
            elif self.seconds is not None and worker.waiting and time.monotonic() - worker.since > self.seconds:
                worker.process.kill()
                self._died(worker, f"took more than {self.seconds:g} s")
            elif self.fresh and answered:
                self.workers.remove(worker)
                worker.end()

    def _died(self, worker: _Worker, why: str) -> None:
        """The first task of a process that ended is its fault; the others are given to another one."""
        self.workers.remove(worker)
        ended = worker.end()
        index, *others = worker.waiting
        self.again.extendleft(reversed(others))
        task = self.tasks[index]
        self.deaths[index] = self.deaths.get(index, 0) + 1
        if self.lost is None:
            fewer = f": try a smaller --nj than {self.nj}" if self.nj > 1 else ", of which this machine has too little"
            what = why or (f"was killed, mostly for memory{fewer}" if ended == "SIGKILL" else f"ended with {ended}")
            raise RecipeError(f"a process for '{self.called}' {what}; it worked on {self.name(task)}")
        if not why and self.deaths[index] < 2:
            # Others may have taken the memory; alone it may go well.
            self.again.appendleft(index)
            return
        self.done[index] = self.lost(task, why or f"its process ended with {ended}")
