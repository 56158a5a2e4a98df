"""What soft-DTW aligns with what, as a picture."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

_HOP_SECONDS = 0.02
# Readable on white and on black.
_GRAY = "#7a8288"


def speed_alignment(
    reference: np.ndarray, estimate: np.ndarray, *, upstream: Mapping[str, Any], factor: float = 0.9, gamma: float = 0.1
) -> np.ndarray:
    """Align an estimate with its reference at another speed, as the objective `ssl_soft_dtw` does.

    Args:
        reference: Clean speech at the upstream's rate, shape (T,).
        estimate: Enhanced speech, shape (T,).
        upstream: Arguments of espnet_plugins.ssl.build_upstream.
        factor: Speed of the reference.
        gamma: Smoothing of soft-DTW.

    Returns:
        Expected alignment, shape (frames of the estimate, frames of the reference), frames L2-normalized.
    """
    import torch
    from torch.nn.functional import normalize

    from espnet_plugins.perturb import speed
    from espnet_plugins.soft_dtw import soft_alignment
    from espnet_plugins.ssl import get_shared_upstream

    model = get_shared_upstream(**upstream)
    heard, clean = (torch.as_tensor(np.asarray(signal, np.float32))[None] for signal in (estimate, reference))
    with torch.no_grad():
        x, y = (normalize(model(wave, None)[0], dim=-1) for wave in (heard, speed(clean, None, [factor]).waveform))
        return soft_alignment(x, y, gamma=gamma)[0].numpy()


def alignment_picture(alignment: np.ndarray) -> str:
    """Draw an alignment.

    Args:
        alignment: Shape (frames of the estimate, frames of the reference), one frame standing for 20 ms.

    Returns:
        A PNG as a `data:` address; dark where frames are aligned, dashed where a constant speed would put them.
    """
    from matplotlib.figure import Figure

    rows, columns = alignment.shape
    width, height = columns * _HOP_SECONDS, rows * _HOP_SECONDS
    figure = Figure(figsize=(4.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    shades = np.sqrt(np.clip(alignment, 0, 1))
    axes.imshow(shades, extent=(0, width, height, 0), cmap="magma", vmin=0, vmax=1, aspect="auto", interpolation="none")
    axes.plot([0, width], [0, height], color="white", linestyle="--", linewidth=0.8, alpha=0.7)
    axes.set_xlabel("reference (s)", color=_GRAY)
    axes.set_ylabel("estimate (s)", color=_GRAY)
    axes.tick_params(colors=_GRAY)
    axes.spines[:].set_color(_GRAY)
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=100, transparent=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
