"""Long signals, piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import torch


def overlap_add(
    signal: torch.Tensor, enhance: Callable[[torch.Tensor], torch.Tensor], *, window: int, overlap: int
) -> torch.Tensor:
    """Enhance a long signal in overlapping pieces of one length, faded into each other.

    A separator may give the speakers in another order in each piece: pieces are joined in the order in which they
    are most alike where they overlap.

    Args:
        signal: (C, T).
        enhance: (C, t) -> (S, C, t) for S speakers.
        window: Samples of a piece.
        overlap: Least number of samples that two pieces share.

    Returns:
        (S, C, T).

    Raises:
        ValueError: When the pieces could not advance.

    Example:
        >>> ramp = torch.arange(10.0)[None]
        >>> torch.equal(overlap_add(ramp, lambda piece: piece[None], window=4, overlap=2)[0], ramp)
        True
    """
    if not 0 < overlap < window:
        raise ValueError(f"overlap ({overlap} samples) must lie between 0 and window ({window} samples)")
    total = signal.shape[1]
    if total <= window:
        return enhance(signal)
    step = window - overlap
    # The last piece ends with the signal, so that all are of one length.
    starts = [*range(0, total - window, step), total - window]
    joined = enhance(signal[:, :window])
    joined = torch.cat([joined, joined.new_zeros(*joined.shape[:2], total - window)], dim=2)
    end = window
    for start in starts[1:]:
        piece = enhance(signal[:, start : start + window])
        shared = end - start
        piece = _in_order(joined[:, :, start:end], piece, shared)
        fade = torch.linspace(0, 1, shared + 2, device=piece.device, dtype=piece.dtype)[1:-1]
        joined[:, :, start:end] += fade * (piece[:, :, :shared] - joined[:, :, start:end])
        end = start + window
        joined[:, :, start + shared : end] = piece[:, :, shared:]
    return joined


def _in_order(before: torch.Tensor, piece: torch.Tensor, shared: int) -> torch.Tensor:
    if len(piece) == 1:
        return piece
    sorted_channels = []
    for channel in range(piece.shape[1]):
        likeness = before[:, channel] @ piece[:, channel, :shared].T
        order = max(permutations(range(len(piece))), key=lambda p: sum(float(likeness[i, j]) for i, j in enumerate(p)))
        sorted_channels.append(piece[list(order), channel])
    return torch.stack(sorted_channels, dim=1)


def cut_at_pauses(waveform: np.ndarray, *, longest: int, frame: int) -> list[np.ndarray]:
    """Cut a long utterance where it is most quiet.

    Args:
        waveform: (T,).
        longest: Samples of the longest piece.
        frame: Samples over which loudness is measured.

    Returns:
        Pieces that joined give the waveform; each ends at the quietest frame of its last third.

    Example:
        >>> pieces = cut_at_pauses(np.array([3.0, 3, 3, 3, 0, 0, 3, 3]), longest=6, frame=2)
        >>> [len(piece) for piece in pieces]
        [5, 3]
    """
    pieces = []
    while len(waveform) > longest:
        first = longest - max(longest // 3, frame)
        n_frames = (longest - first) // frame
        power = np.square(waveform[first : first + n_frames * frame]).reshape(n_frames, frame).sum(axis=1)
        cut = first + int(power.argmin()) * frame + frame // 2
        pieces.append(waveform[:cut])
        waveform = waveform[cut:]
    return [*pieces, waveform]
