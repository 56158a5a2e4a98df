"""Being asked to stop: SIGTERM and SIGUSR1 are remembered until the training can be saved."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager

# The exit code of a program that saved its work and asks to be started again (EX_TEMPFAIL of sysexits.h).
REQUEUE = 75
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether a signal has asked this process to stop.

    Example:
        >>> import os
        >>> with StopRequest().listening() as request:
        ...     os.kill(os.getpid(), signal.SIGUSR1)
        ...     print(request.signal.name)
        SIGUSR1
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @contextmanager
    def listening(self):
        """Remember SIGTERM and SIGUSR1 instead of dying of them; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._remember) for number in _SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _remember(self, number: int, _frame) -> None:
        self.signal = signal.Signals(number)
