"""The probe of an upstream and of criteria, from waveforms to files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn.functional import normalize

from espnet_plugins.analysis.probe.figure import plot_probe
from espnet_plugins.analysis.probe.measure import Objective, probe
from espnet_plugins.analysis.probe.result import ProbeResult
from espnet_plugins.atomic import atomic_path
from espnet_plugins.objectives.without_position import without_position
from espnet_plugins.ssl import get_shared_upstream
from espnet_plugins.ssl.spec import resolve_layers


class Criterion(Protocol):
    """What the probe needs of a criterion over an upstream's frames (espnet_plugins.objectives.SSLCriterion)."""

    normalize_frames: bool

    def reference_frames(self, reference, lengths) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of the reference, (B, N, D), and their number."""

    def distance(self, estimate, reference, estimate_lengths, reference_lengths) -> torch.Tensor:
        """(B,) distances of frames."""


def make_objective(criterion: Criterion) -> Objective:
    """The criterion as a function of the estimate's frames before their normalization."""

    def loss(reference: torch.Tensor, frames: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        estimate = normalize(frames, dim=-1) if criterion.normalize_frames else frames
        target, target_lengths = criterion.reference_frames(reference, None)
        return criterion.distance(estimate, target, lengths, target_lengths)

    return loss


def probe_waveforms(
    upstream: Mapping[str, Any],
    utterances: Sequence[torch.Tensor],
    criteria: Mapping[str, Callable[..., Criterion]],
    *,
    seconds: float,
    gradient_layers: Sequence[int] | None = None,
    unit_length: bool = True,
    turns: int = 4,
    snr: float = 5.0,
    seed: int = 0,
    remove_position: bool | Mapping[str, Any] = False,
) -> ProbeResult:
    """Probe an upstream and the gradients of criteria.

    Args:
        upstream: Options of :func:`~espnet_plugins.ssl.build_upstream`.
        utterances: (T,) each, at the upstream's rate.
        criteria: Classes of criteria by name, as espnet_plugins.objectives.SSL_CRITERIA; built with their default
            constants.
        seconds: Length of the pieces.
        gradient_layers: Layers at which gradients are probed; all where left out.
        unit_length: L2-normalize frames.
        turns: Versions of each piece.
        snr: Of the estimates, in dB.
        seed: Of all draws.
        remove_position: As the criteria's option of this name; the frames probed are then without position, too.

    Returns:
        What was found.

    Raises:
        ValueError: For a wrong option, or too few utterances that are long enough.
    """
    model = without_position("probe", get_shared_upstream(**upstream), remove_position, unit_length=unit_length)
    everything = range(model.n_layers + 1)
    chosen = everything if gradient_layers is None else resolve_layers(gradient_layers, model.n_layers)[0]
    options: dict[str, Any] = {
        "upstream": dict(upstream),
        "normalize_frames": unit_length,
        "sample_rate": model.sample_rate,
        "remove_position": remove_position,
    }
    objectives = {
        layer: {name: make_objective(criterion(layer=layer, **options)) for name, criterion in criteria.items()}
        for layer in chosen
    }
    return probe(
        model,
        utterances,
        objectives=objectives,
        frames=max(int(seconds * model.sample_rate) // model.hop_length, 2),
        turns=turns,
        snr=snr,
        unit_length=unit_length,
        seed=seed,
    )


def write_result(result: ProbeResult, out: Path) -> None:
    """Write the numbers, the table and the figure into ``out``; each file is whole or not there."""
    text = f"{result.table().markdown()}\n\n{result.upstream}. {result.caption()}\n"
    writers: dict[str, Callable[[Path], object]] = {
        "probe.json": result.write,
        "probe.md": lambda path: path.write_text(text, encoding="utf-8"),
        "probe.png": lambda path: plot_probe(result).savefig(path, format="png", dpi=150),
    }
    for name, write in writers.items():
        with atomic_path(out / name) as temporary:
            write(temporary)
