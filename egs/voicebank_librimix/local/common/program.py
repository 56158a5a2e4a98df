"""How a program ends: in silence, or with one line and an exit code."""

from __future__ import annotations

import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from local.common.errors import RecipeError

_REPOSITORY = f"{Path(__file__).resolve().parents[4]}{os.sep}"


def _is_unread(stream: TextIO) -> bool:
    """Whether a stream is a pipe whose reader is gone."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _told_by_the_machine(error: OSError | MemoryError) -> str:
    """What a disk or the memory says, and where in the recipe it was said: that names no file where a read fails."""
    what = str(error) or "there is not enough memory"
    # Without the frame of run_main().
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if "site-packages" not in frame.filename and _REPOSITORY in frame.filename]
    frame = (own or frames)[-1]
    where = f"{frame.filename.removeprefix(_REPOSITORY)}, {frame.name}"
    return f"{what} (in {where}); what is finished stays: run the same command again"


def _program() -> str:
    """What is running, for messages."""
    return sys.argv[0].rsplit("/", 1)[-1]


def run_main(main: Callable[[], None]) -> None:
    """Call a module's main; turn an error that the user can mend into one clear line and its exit code.

    Such are a RecipeError, with its own code, and what a disk, the memory or the limits of this machine refuse.
    Ctrl-C gives one line and 130, also where a program let it end its imports without one. Where nobody reads the
    output any more (`run.sh --status | head`), it ends like other programs, with 141.
    """
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        main()
        sys.stdout.flush()
    except (RecipeError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError) and _is_unread(sys.stdout):
            # What is still buffered goes nowhere, instead of failing again when python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        told = str(error) if isinstance(error, RecipeError) else _told_by_the_machine(error)
        print(f"{_program()}: error: {told}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, RecipeError) else 1)
    except KeyboardInterrupt:
        print(f"{_program()}: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
