"""What a soft alignment through an upstream's frames follows: the content, or the index."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import normalize

from espnet_plugins.analysis.comparison.statistics import Interval, bootstrap_rate
from espnet_plugins.perturb import speed
from espnet_plugins.soft_dtw import soft_alignment
from espnet_plugins.ssl import Upstream

# The paper's slowest and fastest reference, and its gamma.
FACTORS = (0.8, 1.2)
GAMMA = 0.1


def alignment_shares(
    upstream: Upstream,
    references: torch.Tensor,
    estimates: torch.Tensor,
    *,
    unit_length: bool = True,
    factors: Sequence[float] = FACTORS,
    gamma: float = GAMMA,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Interval]:
    """Align estimates with references of another speed, and ask which line the alignment keeps to.

    Frame i of an estimate has the content of frame i / factor of the reference. An alignment that is led by where
    frames stand goes along equal indices instead. With C and X the mean distances of the soft alignment from the two
    lines, in frames, weighted by how probable it is that a cell is visited, the share of content is X / (C + X), sums
    over utterances and factors: about 1 where the alignment follows the content, about 0 where it follows the index.

    Args:
        upstream: What is probed.
        references: (U, T) at its rate.
        estimates: (U, T) of the same speech.
        unit_length: L2-normalize frames.
        factors: Speeds of the reference, none of them 1.
        gamma: Of the soft alignment, in units of the squared distance.
        resamples: Of the bootstrap over utterances.
        seed: Of the bootstrap.

    Returns:
        For each hidden state the share of content, with its 95 % interval.

    Raises:
        ValueError: For a factor of 1, where the two lines are one.

    Example:
        >>> import torch
        >>> from espnet_plugins.ssl import build_upstream
        >>> speech = torch.randn(4, 16000)
        >>> alignment_shares(build_upstream("hubert_base", pretrained=False), speech, speech, factors=(1.0,))
        Traceback (most recent call last):
        ValueError: factors: 1.0: equal speeds do not tell content from index
    """
    if 1.0 in factors:
        raise ValueError("factors: 1.0: equal speeds do not tell content from index")
    distances = [_Distances() for _ in range(upstream.n_layers + 1)]
    with torch.no_grad():
        for reference, estimate in zip(references, estimates, strict=True):
            content, _ = upstream.all_layers(estimate[None])
            for factor in factors:
                moved, _ = upstream.all_layers(speed(reference[None], None, [factor]).waveform)
                for found, x, y in zip(distances, content, moved, strict=True):
                    if unit_length:
                        x, y = normalize(x, dim=-1), normalize(y, dim=-1)
                    found.add(soft_alignment(x, y, gamma=gamma)[0].double(), factor)
    # One row for each utterance.
    return [found.share(len(factors), resamples=resamples, seed=seed) for found in distances]


@dataclasses.dataclass
class _Distances:
    """Mean distances of alignments from the lines of equal content and of equal index."""

    content: list[float] = dataclasses.field(default_factory=list)
    index: list[float] = dataclasses.field(default_factory=list)

    def add(self, visited: torch.Tensor, factor: float) -> None:
        """An alignment, (N, M)."""
        rows = torch.arange(visited.shape[0], dtype=visited.dtype)[:, None]
        columns = torch.arange(visited.shape[1], dtype=visited.dtype)[None, :]
        for line, into in ((rows / factor, self.content), (rows, self.index)):
            into.append(float((visited * (columns - line).abs()).sum() / visited.sum()))

    def share(self, each: int, *, resamples: int, seed: int) -> Interval:
        """X / (C + X) where an utterance has `each` alignments."""
        content, index = (np.reshape(found, (-1, each)).sum(1) for found in (self.content, self.index))
        percent = bootstrap_rate(index[None], content + index, resamples=resamples, seed=seed)
        return Interval(percent.value / 100, percent.low / 100, percent.high / 100, percent.probability_below)
