"""What a target of broken input is, and what a reader's refusal has to say."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

from fuzz_mutations import Tree
from hypothesis import strategies as st

from local.common.errors import RecipeError
from local.corpora import csv_corpus, fsdd, librimix, librispeech, noisy_librispeech, voicebank_demand

# Every module that takes work to other processes; here it is done in this one, where its errors and memory are seen.
_PARALLEL = (csv_corpus, fsdd, librimix, librispeech, noisy_librispeech, voicebank_demand)


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of input.

    Args:
        name: What it is called.
        whole: What is not broken: all of it must be read.
        cases: Draws a folder with broken input.
        read: Reads what is in a folder; may write into another one.
        errors: By what it may be refused.
        names: What an error may name instead of a file.
        warm_up: Imports and makes what all cases share.
    """

    name: str
    whole: Callable[[], Sequence[Tree]]
    cases: Callable[[], st.SearchStrategy[Tree]]
    read: Callable[[Path, Path], None]
    errors: tuple[type[Exception], ...]
    names: tuple[str, ...] = ()
    warm_up: Callable[[], object] = lambda: None


class NamelessError(AssertionError):
    """A refusal that names neither a file nor an option."""


def names_something(error: Exception, folder: Path, others: Sequence[str] = ()) -> bool:
    """Whether an error names a file of a folder, by its path or by its name, or one of some other things."""
    told = str(error)
    return any(name in told for name in (str(folder), *others, *(path.name for path in folder.rglob("*"))))


def call_all(
    folder: Path,
    errors: type[Exception] | tuple[type[Exception], ...],
    readers: Sequence[Callable[[], object]],
    *,
    names: Sequence[str] = (),
    every: bool = False,
) -> None:
    """Call every reader of a folder; raise the last refusal where none of them takes what is there, or not all do.

    Args:
        folder: Of the case.
        errors: By what it may be refused.
        readers: Without arguments.
        names: What an error may name instead of a file.
        every: Whether each reader has files of its own, which all must be taken.
    """
    refusals: list[Exception] = []
    for reader in readers:
        try:
            reader()
        except errors as error:
            if not names_something(error, folder, names):
                raise NamelessError(str(error)) from error
            refusals.append(error)
    if refusals and (every or len(refusals) == len(readers)):
        raise refusals[-1]


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """Do here what the corpora give to other processes."""
    with contextlib.ExitStack() as stack:
        for module in _PARALLEL:
            stack.enter_context(
                mock.patch.object(module, "parallel_map", lambda function, tasks, **_: map(function, tasks))
            )
        yield


def in_a_fork(reader: Callable[[], object], *, where: str) -> None:
    """Call a reader whose library may end the process; raise here what it raises there.

    Args:
        reader: Without arguments.
        where: What the error for a process that ended is about.
    """
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        try:
            reader()
            answer = b""
        except Exception as error:
            answer = pickle.dumps((type(error), str(error)))
        with os.fdopen(sending, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        answer = pipe.read()
    if os.waitpid(child, 0)[1]:
        raise RecipeError(f"{where} ends the process that reads it")
    if answer:
        kind, told = pickle.loads(answer)
        raise kind(told)


def import_espnet() -> None:
    """Before a case: it takes longer than a case may."""
    import espnet_plugins.inference  # noqa: F401
