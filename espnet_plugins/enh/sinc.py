"""Doubling and halving of the sample rate with a windowed sinc, as denoiser's Demucs has it inside."""

from __future__ import annotations

import math

import torch

# Zero crossings of the sinc on each side; the kernel has two taps for each.
ZEROS = 56


def half_sample_kernel(zeros: int = ZEROS) -> torch.Tensor:
    """Taps that give a signal's values half a sample further on.

    Args:
        zeros: Zero crossings on each side.

    Returns:
        (2 * zeros,) in float32: a sinc at half-integer places under a Hann window; symmetric, its sum about 1.

    Example:
        >>> kernel = half_sample_kernel()
        >>> kernel.shape, round(float(kernel.max()), 4), round(float(kernel.sum()), 3)
        (torch.Size([112]), 0.6365, 1.0)

    Source:
        Smith, "Digital Audio Resampling", section "Theory of ideal bandlimited interpolation".
    """
    window = torch.hann_window(4 * zeros + 1, periodic=False, dtype=torch.float64)[1::2]
    places = torch.arange(2 * zeros, dtype=torch.float64) - (zeros - 0.5)
    return (torch.sinc(places) * window).float()


def _half_sample_later(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """x half a sample before each of its samples and behind the last: one value more than x has."""
    taps = kernel.to(x.dtype)[None, None]
    flat = x.reshape(-1, 1, x.shape[-1])
    moved = torch.nn.functional.conv1d(flat, taps, padding=kernel.numel() // 2)
    return moved.reshape(*x.shape[:-1], -1)


def double_rate(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Double the rate: every sample stays, the values between are interpolated.

    Args:
        x: (..., T).
        kernel: half_sample_kernel().

    Returns:
        (..., 2 * T).

    Example:
        >>> double_rate(torch.ones(200), half_sample_kernel())[100::2].eq(1).all()
        tensor(True)
    """
    return torch.stack([x, _half_sample_later(x, kernel)[..., 1:]], dim=-1).flatten(-2)


def halve_rate(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Halve the rate: the mean of the even samples and of the odd ones moved there.

    Args:
        x: (..., T); an odd T is filled up with a zero.
        kernel: half_sample_kernel().

    Returns:
        (..., ceil(T / 2)).

    Example:
        >>> halve_rate(torch.zeros(5), half_sample_kernel()).shape
        torch.Size([3])
    """
    even, odd = x[..., ::2], x[..., 1::2]
    # Without a branch, so that a graph of it holds for every length.
    odd = torch.nn.functional.pad(odd, (0, even.shape[-1] - odd.shape[-1]))
    return 0.5 * (even + _half_sample_later(odd, kernel)[..., :-1])


def resampling_steps(factor: int) -> int:
    """How often the rate is doubled.

    Raises:
        ValueError: When `factor` is no power of two.

    Example:
        >>> resampling_steps(4)
        2
    """
    steps = math.log2(factor) if isinstance(factor, int) and factor > 0 else -1.0
    if steps not in (0, 1, 2):
        raise ValueError(f"demucs: resample: {factor!r} is not accepted; give 1, 2 or 4")
    return int(steps)
