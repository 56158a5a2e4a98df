"""Progress of work in parts: a bar for whoever watches, and the same in words for whoever asks with `--status`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

# Where the step that runs in this process tells how far it is.
_told: list[Path] = []


class Bar(tqdm):
    """A progress bar that also tells the step around it, once a second.

    Example:
        >>> bar = Bar(total=4, desc="mix", unit="utt")  # doctest: +SKIP
        >>> bar.update(2)  # doctest: +SKIP
        mix:  50%|█████     | 2/4 [00:01<00:01,  2.00utt/s]
    """

    def __init__(self, *args: Any, mininterval: float = 1.0, **options: Any):
        super().__init__(*args, mininterval=mininterval, **options)

    def display(self, *args: Any, **options: Any) -> Any:
        """Draw the bar, and leave the same in words."""
        if _told:
            known = self.format_dict
            count = "{n_fmt} of {total_fmt}" if known["total"] else "{n_fmt}"
            shown = f"{{desc}}: {count}" + ("{unit}" if known["unit_scale"] else " {unit}")
            shown += ", {remaining} left" if known["total"] else ""
            # Whoever asks may miss a line; the work goes on where it cannot be written.
            with suppress(OSError):
                words = self.format_meter(**{**known, "desc": known["prefix"], "bar_format": shown, "ncols": None})
                _told[-1].write_text(words)
        return super().display(*args, **options)


@contextmanager
def told_in(path: Path) -> Iterator[None]:
    """While this lasts, what bars show stands in a file as well, which is gone at the end."""
    path.unlink(missing_ok=True)
    _told.append(path)
    try:
        yield
    finally:
        _told.pop()
        path.unlink(missing_ok=True)
