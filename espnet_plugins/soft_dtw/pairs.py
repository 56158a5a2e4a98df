"""Lengths and Sakoe-Chiba band of a batch of pairs, computed once and shared by every backend and pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

import torch

# Which two of (x, y) the pairs of a block consist of.
Blocks = tuple[tuple[int, int], ...]
Bandwidth = float | Sequence[float] | torch.Tensor | None
# Within half a frame of the diagonal, some frame of the shorter sequence answers each frame of the longer one, and
# from one of these to the next is at most a step: a path.
_SAFE_BAND = 0.5


@dataclass(frozen=True)
class Pairs:
    """Which cells of each cost matrix an alignment may visit.

    Cell (i, j), counted from 0, of pair b belongs to it when i < x_lengths[b], j < y_lengths[b] and
    |i * (y_lengths[b] - 1) - j * (x_lengths[b] - 1)| <= band_half_width[b]; the last is the Sakoe-Chiba band, in
    integers so that every backend draws the same one.

    Args:
        x_lengths: frames of each x, (B,) int64.
        y_lengths: frames of each y, (B,) int64.
        band_half_width: of each band, in the units of the inequality above, (B,) int64.
    """

    x_lengths: torch.Tensor
    y_lengths: torch.Tensor
    band_half_width: torch.Tensor

    def __len__(self) -> int:
        return len(self.x_lengths)

    def cells(self, count: int) -> int:
        """Cells within the lengths of the leading `count` pairs; for lengths on the host."""
        return sum(map(mul, self.x_lengths[:count].tolist(), self.y_lengths[:count].tolist()))

    def to(self, device: torch.device) -> "Pairs":
        """Move to `device` without waiting for it."""
        return Pairs(
            *(t.to(device, non_blocking=True) for t in (self.x_lengths, self.y_lengths, self.band_half_width)),
        )

    def mask(self, n: int, m: int) -> torch.Tensor:
        """Mask of the cells an alignment may visit, (B, n, m) bool."""
        device = self.x_lengths.device
        i = torch.arange(n, device=device)[None, :, None]
        j = torch.arange(m, device=device)[None, None, :]
        x_length = self.x_lengths[:, None, None]
        y_length = self.y_lengths[:, None, None]
        off_diagonal = (i * (y_length - 1) - j * (x_length - 1)).abs()
        return (i < x_length) & (j < y_length) & (off_diagonal <= self.band_half_width[:, None, None])


def make_pairs(
    batch: int,
    n: int,
    m: int,
    x_lengths: torch.Tensor | Sequence[int] | None,
    y_lengths: torch.Tensor | Sequence[int] | None,
    bandwidth: Bandwidth,
    blocks: Blocks = ((0, 1),),
) -> Pairs:
    """Check lengths and band and put them into one form.

    Whatever is given on the host is checked on the host; lengths that live on another device are taken as
    they are, since reading them would stall it.

    Args:
        batch: number of pairs B.
        n: frames that the longest x can have.
        m: frames that the longest y can have.
        x_lengths: frames of each x, (B,) integers, or None for n each.
        y_lengths: frames of each y, (B,) integers, or None for m each.
        bandwidth: how far an alignment may leave the diagonal of its pair, in frames of the pair's shorter
            sequence: one number, one per pair, or None for no limit; read on the host.
        blocks: which two of (x, y) are aligned: ((0, 1),) for x with y; (0, 0) is x with itself, and so on.

    Returns:
        The len(blocks) * B pairs, block by block, on the device of the lengths given (the host if none are).

    Raises:
        TypeError: lengths that are not integers.
        ValueError: lengths or a band of the wrong shape, a length below 1 or beyond the padded size, a
            negative or NaN band, a band that leaves a pair no path. The message names the pair.
    """
    sides = [_lengths("x_lengths", x_lengths, batch, n), _lengths("y_lengths", y_lengths, batch, m)]
    device = next((side.device for side in sides if side.device.type != "cpu"), sides[0].device)
    rows, columns = (_cat([sides[block[side]].to(device) for block in blocks]) for side in (0, 1))
    # Farther than this from the diagonal there is no cell.
    widest = max(n, m) ** 2
    if bandwidth is None:
        return Pairs(rows, columns, torch.full_like(rows, widest))

    width = torch.as_tensor(bandwidth, dtype=torch.float64, device="cpu")
    if width.dim() > 1 or (width.dim() == 1 and len(width) != batch):
        raise ValueError(f"bandwidth must be one number or one per pair ({batch}), got shape {tuple(width.shape)}")
    width = width.expand(batch)
    wrong = ~(width >= 0)
    if wrong.any():
        pair = int(wrong.nonzero()[0])
        raise ValueError(f"bandwidth of pair {pair} is {width[pair].item()}; it must be 0 or more frames")
    if device.type != "cpu" and (width < _SAFE_BAND).any():
        raise ValueError(
            f"a bandwidth below {_SAFE_BAND} may leave a pair no path, which only lengths on the host can tell; "
            "pass lengths.cpu()"
        )
    width = width.repeat(len(blocks))
    longer = torch.maximum(rows, columns) - 1
    # The tiny addend keeps bands such as 0.1 * 30 from losing a cell to rounding.
    half_width = (width.to(device, non_blocking=True) * longer + 1e-6).clamp(max=widest).floor().long()
    pairs = Pairs(rows, columns, half_width)
    if device.type == "cpu":
        _check_paths(pairs, width, batch)
    return pairs


def _cat(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _lengths(name: str, lengths: torch.Tensor | Sequence[int] | None, batch: int, size: int) -> torch.Tensor:
    if lengths is None:
        return torch.full((batch,), size)
    lengths = torch.as_tensor(lengths)
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise TypeError(f"{name} must hold integers, got {lengths.dtype}")
    if lengths.shape != (batch,):
        raise ValueError(f"{name} must hold one length per pair, ({batch},), got {tuple(lengths.shape)}")
    lengths = lengths.long()
    if lengths.device.type == "cpu":
        wrong = (lengths < 1) | (lengths > size)
        if wrong.any():
            pair = int(wrong.nonzero()[0])
            raise ValueError(f"{name} of pair {pair} is {int(lengths[pair])}; it must be 1 to {size}, the frames given")
    return lengths


def _check_paths(pairs: Pairs, width: torch.Tensor, batch: int) -> None:
    """Raise if a band is too narrow to hold a path."""
    n, m, half_width = pairs.x_lengths, pairs.y_lengths, pairs.band_half_width
    # The exact diagonal of a square is a path.
    doubtful = (n != m) & (torch.minimum(n, m) > 1) & (2 * half_width < torch.maximum(n, m) - 1)
    for pair in doubtful.nonzero().flatten().tolist():
        rows, columns, away = int(n[pair]), int(m[pair]), int(half_width[pair])
        i = torch.arange(rows)
        first = torch.div(i * (columns - 1) - away + rows - 2, rows - 1, rounding_mode="floor").clamp(min=0)
        last = torch.div(i * (columns - 1) + away, rows - 1, rounding_mode="floor").clamp(max=columns - 1)
        if (first > last).any() or (first[1:] > last[:-1] + 1).any():
            raise ValueError(
                f"bandwidth {width[pair].item()} leaves pair {pair % batch} ({rows} x {columns} frames) no path; "
                f"{_SAFE_BAND} is enough for every pair"
            )
