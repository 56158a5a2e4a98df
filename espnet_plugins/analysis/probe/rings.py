"""Utterances closed to rings, so that the same content can stand at any index."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from espnet_plugins.analysis.probe.result import ProbeError

# Fewer give no interval worth the name.
FEWEST = 4
_VOICES = 3


def make_rings(
    utterances: Sequence[torch.Tensor], frames: int, *, hop_length: int, generator: torch.Generator
) -> torch.Tensor:
    """Cut a piece of ``frames`` hops out of each utterance that is long enough, at a random place.

    Args:
        utterances: (T,) each, at the upstream's rate.
        frames: length of a ring.
        hop_length: samples from one frame to the next.
        generator: of the places.

    Returns:
        (U, frames * hop_length), in the order of the utterances.

    Raises:
        ProbeError: where fewer than four are long enough.

    Example:
        >>> make_rings([torch.ones(40)] * 4, 3, hop_length=10, generator=torch.Generator()).shape
        torch.Size([4, 30])
    """
    samples = frames * hop_length
    long_enough = [utterance for utterance in utterances if len(utterance) >= samples]
    if len(long_enough) < FEWEST:
        raise ProbeError(
            f"{len(long_enough)} of {len(utterances)} utterances have the {samples} samples of a probe; "
            f"at least {FEWEST} must: give more utterances, or shorter probes"
        )
    rings = []
    for utterance in long_enough:
        start = int(torch.randint(len(utterance) - samples + 1, (), generator=generator))
        rings.append(utterance[start : start + samples])
    return torch.stack(rings)


def disturb(rings: torch.Tensor, *, snr: float, generator: torch.Generator) -> torch.Tensor:
    """Add a babble of three other rings, turned at random, to each ring: an estimate to be improved.

    Args:
        rings: (U, T).
        snr: signal-to-noise ratio in dB.
        generator: of the choice.

    Returns:
        (U, T).

    Example:
        >>> rings = torch.randn(5, 100, generator=torch.Generator().manual_seed(0))
        >>> noise = disturb(rings, snr=5.0, generator=torch.Generator()) - rings
        >>> (10 * torch.log10(rings.square().sum(1) / noise.square().sum(1))).round(decimals=3).tolist()
        [5.0, 5.0, 5.0, 5.0, 5.0]
    """
    count, samples = rings.shape
    disturbed = []
    for own in range(count):
        voices = [(own + 1 + int(k)) % count for k in torch.randperm(count - 1, generator=generator)[:_VOICES]]
        turns = torch.randint(samples, (len(voices),), generator=generator).tolist()
        noise = torch.stack([rings[voice].roll(turn) for voice, turn in zip(voices, turns, strict=True)]).sum(0)
        gain = rings[own].square().sum() / noise.square().sum().clamp(min=1e-12) / 10 ** (snr / 10)
        disturbed.append(rings[own] + gain.sqrt() * noise)
    return torch.stack(disturbed)


def draw_turns(count: int, frames: int, turns: int, *, generator: torch.Generator) -> torch.Tensor:
    """Draw by how many frames each ring is turned: (count, turns), all of a row different.

    Example:
        >>> draw_turns(2, 5, 5, generator=torch.Generator()).sort().values.tolist()
        [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    """
    return torch.stack([torch.randperm(frames, generator=generator)[:turns] for _ in range(count)])


def turn(ring: torch.Tensor, turns: Sequence[int], *, hop_length: int, receptive_field: int) -> torch.Tensor:
    """Turn a ring and open it: what was frame s stands at frame (s + turn) modulo the ring's frames.

    Each opened ring goes on for as many samples as its last frame needs, so that an upstream of convolutions
    without padding gives the same frames whatever the turn, in another order.

    Args:
        ring: (T,).
        turns: frames to turn by.
        hop_length: samples from one frame to the next.
        receptive_field: samples that one frame sees.

    Returns:
        (turns, T - hop_length + receptive_field).

    Example:
        >>> turn(torch.arange(6.0), [0, 1], hop_length=2, receptive_field=3)[:, :5].tolist()
        [[0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 5.0, 0.0, 1.0, 2.0]]
    """
    samples = torch.arange(len(ring) - hop_length + receptive_field)
    return torch.stack([ring[(samples - shift * hop_length) % len(ring)] for shift in turns])
