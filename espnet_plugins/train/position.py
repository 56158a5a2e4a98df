"""Where inside an epoch a training stands: the updates behind it, what they reported, the random state."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

from espnet2.train.reporter import Average, SubReporter, WeightedAverage
from torch.utils.data import DataLoader


def describe(reporter: SubReporter) -> dict[str, Any]:
    """Turn the statistics of an unfinished epoch into plain types.

    Args:
        reporter: Of the training part of the epoch, between two updates.

    Returns:
        What resume() takes.
    """
    stats = {
        key: {
            "values": [item.value for item in items],
            "weights": [item.weight for item in items] if isinstance(items[0], WeightedAverage) else None,
        }
        for key, items in reporter.stats.items()
    }
    seconds = time.perf_counter() - reporter.start_time
    return {"stats": stats, "count": reporter.count, "total_count": reporter.total_count, "seconds": seconds}


def resume(reporter: SubReporter, described: dict[str, Any]) -> None:
    """Let a fresh reporter continue from what describe() gave.

    Args:
        reporter: Of the same epoch; nothing is registered yet.
        described: Statistics of the updates that are done.
    """
    reporter.stats = defaultdict(list)
    for key, items in described["stats"].items():
        if items["weights"] is None:
            reporter.stats[key] = [Average(value) for value in items["values"]]
        else:
            reporter.stats[key] = [
                WeightedAverage(value, weight) for value, weight in zip(items["values"], items["weights"], strict=True)
            ]
    reporter.count, reporter.total_count = described["count"], described["total_count"]
    reporter.start_time = time.perf_counter() - described["seconds"]


class Boundaries:
    """The batches of an epoch, with a call before each one: the moment between two updates.

    The first `skip` batches are left out. Their audio is read again only where what follows depends on it: by
    worker processes with random states of their own, and by iterators that cut chunks across utterances.

    Args:
        batches: What an iterator factory of ESPnet built for the epoch.
        between: Called with the number of batches behind it, before the next is asked for.
        skip: Batches that were used before.
        after_skip: Called once when the skipped batches are behind.

    Example:
        >>> seen = []
        >>> list(Boundaries(["a", "b", "c"], between=seen.append, skip=1))
        ['b', 'c']
        >>> seen
        [1, 2, 3]
    """

    def __init__(
        self,
        batches: Iterable[Any],
        *,
        between: Callable[[int], None],
        skip: int = 0,
        after_skip: Callable[[], None] = lambda: None,
    ):
        self._batches, self._between, self._skip, self._after_skip = batches, between, skip, after_skip
        self._length = len(batches) if isinstance(batches, Sized) else None

    def __len__(self) -> int:
        """All batches of the epoch, the skipped ones too."""
        if self._length is None:
            raise TypeError("the number of batches is not known in advance")
        return self._length

    def __iter__(self) -> Iterator[Any]:
        unread = self._skip
        batches = self._batches
        if isinstance(batches, DataLoader) and batches.num_workers == 0 and isinstance(batches.batch_sampler, list):
            del batches.batch_sampler[:unread]
            unread = 0
        iterator = iter(batches)
        for _ in range(unread):
            next(iterator, None)
        self._after_skip()
        done = self._skip
        while True:
            self._between(done)
            try:
                batch = next(iterator)
            except StopIteration:
                return
            yield batch
            done += 1
