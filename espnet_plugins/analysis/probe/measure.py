"""The positional probe: frames and gradients of an upstream, and what of them follows the frame index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch.nn.functional import normalize

from espnet_plugins.analysis.comparison.statistics import Interval
from espnet_plugins.analysis.probe.alignment import alignment_shares
from espnet_plugins.analysis.probe.decomposition import Vectors
from espnet_plugins.analysis.probe.result import Layer, ProbeResult
from espnet_plugins.analysis.probe.rings import disturb, draw_turns, make_rings, turn
from espnet_plugins.ssl import Upstream

# (reference waveforms (B, T), frames of the estimates (B, N, D), frame lengths (B,)) -> (B,) losses
Objective = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def probe(
    upstream: Upstream,
    utterances: Sequence[torch.Tensor],
    *,
    objectives: Mapping[int, Mapping[str, Objective]] | None = None,
    frames: int = 100,
    turns: int = 4,
    snr: float = 5.0,
    unit_length: bool = True,
    resamples: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """Measure how much of the difference between utterances the frame index explains, layer by layer.

    A piece of each utterance is circularly shifted by random numbers of frames, so that every content
    is as likely at every index, silence at the start included. Of the variance between frames of different
    utterances, the index explains 1 - D_same / D_any, D being the mean squared distances at the same and at any
    two indices; ``moved`` is the share that changes when the same content stands at another index. An upstream of
    convolutions without padding has 0 for both, one whose frames hold nothing but their index has 1.

    Where frames are divided by their length, the estimates are aligned with references of another speed besides, as
    :func:`~espnet_plugins.analysis.probe.alignment.alignment_shares` says.

    An objective's gradient at the frames is treated alike: the share of its variance that is the same for every
    utterance at an index. Its estimate is the utterance with a babble of others; random perturbations of the
    reference are the same for all utterances.

    Args:
        upstream: what is probed.
        utterances: (T,) each, at its rate.
        objectives: layer -> name -> loss at that layer.
        frames: length of the pieces.
        turns: versions of each piece.
        snr: of the estimates, in dB.
        unit_length: divide frames by their Euclidean length before they are compared.
        resamples: of the bootstrap over utterances.
        seed: of all draws.

    Returns:
        The shares with 95 % intervals.

    Raises:
        ProbeError: where fewer than four utterances are long enough.

    Example:
        >>> from espnet_plugins.ssl import build_upstream
        >>> result = probe(build_upstream("hubert_base", pretrained=False), [])
        Traceback (most recent call last):
        espnet_plugins.analysis.probe.result.ProbeError: 0 of 0 utterances have the 32000 samples of a probe; \
at least 4 must: give more utterances, or shorter probes
    """
    generator = torch.Generator().manual_seed(seed)
    rings = make_rings(utterances, frames, hop_length=upstream.hop_length, generator=generator)
    estimates = disturb(rings, snr=snr, generator=generator)
    shifts = draw_turns(len(rings), frames, turns, generator=generator).tolist()
    opened = partial(turn, hop_length=upstream.hop_length, receptive_field=upstream.receptive_field)
    states = [Vectors() for _ in range(upstream.n_layers + 1)]
    for ring, shift in zip(rings, shifts, strict=True):
        with torch.no_grad():
            by_layer, _ = upstream.all_layers(opened(ring, shift))
        for vectors, content in zip(states, by_layer, strict=True):
            vectors.add(normalize(content, dim=-1) if unit_length else content, shifts=shift)
    gradients: dict[int, dict[str, Interval]] = {}
    # One layer at a time: the gradients of all would fill the memory.
    for layer, losses in sorted((objectives or {}).items()):
        followed = {name: Vectors() for name in losses}
        for ring, estimate, shift in zip(rings, estimates, shifts, strict=True):
            reference = opened(ring, shift)
            with torch.no_grad():
                content, lengths = upstream(opened(estimate, shift), layers=layer)
            for name, loss in losses.items():
                followed[name].add(_gradient(loss, reference, content, lengths, seed=seed))
        gradients[layer] = {
            name: vectors.shares(resamples=resamples, seed=seed).index for name, vectors in followed.items()
        }
    # The gamma of the alignment is one for frames of length 1.
    alignments: Sequence[Interval | None] = [None] * len(states)
    if unit_length:
        alignments = alignment_shares(upstream, rings, estimates, resamples=resamples, seed=seed)
    return ProbeResult(
        upstream=upstream.name,
        utterances=len(rings),
        frames=frames,
        seconds=frames * upstream.hop_length / upstream.sample_rate,
        turns=turns,
        snr=snr,
        unit_length=unit_length,
        seed=seed,
        layers={
            layer: Layer(vectors.shares(resamples=resamples, seed=seed), gradients.get(layer, {}), aligned)
            for layer, (vectors, aligned) in enumerate(zip(states, alignments, strict=True))
        },
    )


def _gradient(
    loss: Objective, reference: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor, *, seed: int
) -> torch.Tensor:
    """Gradient at the frames; the objective's draws are those of the seed and the row, whatever the utterance."""
    leaf = frames.detach().requires_grad_()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        value = loss(reference, leaf, lengths).sum()
    (gradient,) = torch.autograd.grad(value, leaf)
    return gradient
