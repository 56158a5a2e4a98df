"""One forward pass for several users of the same waveform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch

from espnet_plugins.ssl.backbone import Backbone
from espnet_plugins.ssl.hidden import HiddenStates


@dataclass
class _Passes:
    """Passes made since the context was entered; holding the inputs keeps their memory from being reused."""

    grad_enabled: bool
    made: dict[tuple, tuple[torch.Tensor, HiddenStates]] = field(default_factory=dict)


_OPEN: ContextVar[_Passes | None] = ContextVar("espnet_plugins_ssl_passes", default=None)


@contextmanager
def share_passes() -> Iterator[None]:
    """Let calls of one upstream on one waveform share their forward pass.

    Inside, a call with the same memory (address, shape, stride, version), the same lengths and the same
    autograd history as an earlier one returns the earlier hidden states; blocks not computed yet are added.
    Results with and without a graph are never mixed. Contexts nest: the outermost one holds the passes.

    Example:
        >>> from espnet_plugins.ssl import build_upstream
        >>> upstream = build_upstream("hubert_base", pretrained=False)
        >>> with share_passes():
        ...     pass  # objective(enhanced) and recognizer(enhanced): the convolutions and blocks run once
    """
    if _OPEN.get() is not None:
        yield
        return
    token = _OPEN.set(_Passes(torch.is_grad_enabled()))
    try:
        yield
    finally:
        _OPEN.reset(token)


def hidden_states(
    backbone: Backbone, waveform: torch.Tensor, lengths: torch.Tensor | None, indices: Sequence[int]
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Hidden states of ``waveform``, from an open pass where there is a matching one.

    Args:
        backbone: the frozen model.
        waveform: (B, T).
        lengths: (B,) samples, or None.
        indices: hidden states wanted, 0..n_layers.

    Returns:
        The hidden states, each (B, N, D), and the frame lengths (B,).

    Raises:
        ValueError: for wrong shapes or lengths.
    """
    samples = _samples(waveform, lengths)
    shared = _OPEN.get()
    if shared is None:
        states = HiddenStates(backbone, waveform, samples, keep_all=False)
        return states.get(indices), states.frame_lengths
    key = (id(backbone), tuple(samples), *_identity(waveform))
    made = shared.made.get(key)
    if made is None or not made[1].offers(indices):
        # In training, a pass without a graph is the reference's: nobody else will ask for its other layers.
        keep_all = torch.is_grad_enabled() == shared.grad_enabled
        made = (waveform, HiddenStates(backbone, waveform, samples, keep_all=keep_all))
        shared.made[key] = made
    return made[1].get(indices), made[1].frame_lengths


def _samples(waveform: torch.Tensor, lengths: torch.Tensor | None) -> list[int]:
    if waveform.ndim != 2 or not waveform.is_floating_point():
        raise ValueError(
            f"waveform must be a float tensor (batch, samples), not {waveform.dtype} {list(waveform.shape)}"
        )
    batch, total = waveform.shape
    if lengths is None:
        return [total] * batch
    if lengths.shape != (batch,):
        raise ValueError(f"lengths must have shape ({batch},) like the waveform's batch, not {list(lengths.shape)}")
    samples = [int(length) for length in lengths.tolist()]
    for row, length in enumerate(samples):
        if length > total:
            raise ValueError(f"utterance {row}: length {length} exceeds the waveform's {total} samples")
    return samples


def _identity(waveform: torch.Tensor) -> tuple:
    graph = torch.is_grad_enabled() and waveform.requires_grad
    # A detached copy has the same memory but another history; views of one tensor have the same root.
    root = waveform if waveform._base is None else waveform._base
    return (
        waveform.data_ptr(),
        waveform.dtype,
        waveform.device,
        tuple(waveform.shape),
        waveform.stride(),
        None if waveform.is_inference() else waveform._version,
        torch.is_inference_mode_enabled(),
        id(root) if graph else None,
    )
