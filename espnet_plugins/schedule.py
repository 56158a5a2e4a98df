"""A number that changes over the first updates of a training; its place is saved with the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from espnet_plugins.checks import check_mapping, check_number

_KEYS = ("from", "to", "updates")


class Schedule(torch.nn.Module):
    """A number that goes from ``first`` to ``last`` in equal ratios, update by update, and stays there.

    After u updates it is ``first ** (1 - s) * last ** s`` with s = min(u / updates, 1); where gradients are off
    (validation) it is ``last``, so that values of different epochs compare. The trainer says when an update is done;
    the count is a buffer, so that a resumed training goes on where it stopped.

    Args:
        first: value of the first update, above 0.
        last: value after ``updates`` updates, above 0.
        updates: how many updates the way takes, from 1.

    Example:
        >>> gamma = Schedule(1.0, 0.01, updates=2)
        >>> seen = []
        >>> for _ in range(4):
        ...     seen.append(round(gamma.value(), 6))
        ...     gamma.advance()
        >>> seen
        [1.0, 0.1, 0.01, 0.01]
        >>> with torch.no_grad():
        ...     gamma.restart()
        ...     gamma.value()
        0.01
    """

    done: torch.Tensor

    def __init__(self, first: float, last: float, *, updates: int) -> None:
        super().__init__()
        self.first, self.last, self.updates = first, last, updates
        self.register_buffer("done", torch.tensor(0))

    @classmethod
    def from_options(cls, key: str, options: Any) -> Schedule | float:
        """Make it from ``{from: .., to: .., updates: ..}`` out of YAML; a plain number stays one.

        Args:
            key: what the option is called.
            options: the mapping, or a number above 0.

        Returns:
            The schedule or the number.

        Raises:
            ValueError: for anything else, naming the key and what it accepts.
        """
        if not isinstance(options, Mapping):
            return check_number(key, options, low=0, above=True)
        given = check_mapping(key, options, _KEYS)
        first, last = (check_number(f"{key}.{name}", given.get(name), low=0, above=True) for name in ("from", "to"))
        updates = check_number(f"{key}.updates", given.get("updates"), low=1)
        if updates % 1:
            raise ValueError(f"{key}.updates: {given['updates']!r} is not accepted; give a whole number from 1")
        return cls(first, last, updates=int(updates))

    def value(self) -> float:
        """The number to use now."""
        if not torch.is_grad_enabled():
            return self.last
        part = min(int(self.done) / self.updates, 1.0)
        return self.first ** (1 - part) * self.last**part

    def advance(self) -> None:
        """Count an update."""
        self.done += 1

    def restart(self) -> None:
        """Go back to the first update."""
        self.done.zero_()

    def extra_repr(self) -> str:
        """Both ends and the length, for printing."""
        return f"{self.first:g} to {self.last:g} in {self.updates} updates"


def schedules(model: torch.nn.Module) -> Iterator[Schedule]:
    """All schedules of a model, each once.

    Example:
        >>> gamma = Schedule(1.0, 0.1, updates=5)
        >>> len(list(schedules(torch.nn.ModuleList([gamma, torch.nn.ModuleList([gamma])]))))
        1
    """
    return (module for module in model.modules() if isinstance(module, Schedule))
