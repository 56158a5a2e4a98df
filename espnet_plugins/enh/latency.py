"""Algorithmic latency: how long a front-end has to wait before it can give a sample back, whatever the computer."""

from __future__ import annotations

import math

import torch
from espnet2.enh.espnet_model import ESPnetEnhancementModel

_PROBED = (0.3, 0.45, 0.6, 0.75)


@torch.inference_mode()
def algorithmic_latency(model: ESPnetEnhancementModel, *, samples: int = 32000) -> float:
    """Samples that must have come behind a sample before the front-end can give it back, at worst.

    Measured by poison: where the waveform is no number from sample t on, every output sample that depends on anything
    behind t is none either, however small the dependence, and be it a weight of zero at a window's edge. The first of
    them, n, looks t - n ahead; from several t, the last t that still reaches n is searched. A separator that knows
    better has an attribute ``algorithmic_latency``: Demucs as a stream divides by the level so far, though as a whole
    by that of the utterance.

    Args:
        model: The front-end; ``normalize_variance`` counts as what it is, a look at the whole utterance.
        samples: Length of the waveform that is used.

    Returns:
        Samples, 0 for a front-end that looks at no later sample; math.inf where even the first sample waits for the
        rest of the utterance, or for a quarter of ``samples`` at least.

    Example:
        >>> from espnet2.enh.decoder.conv_decoder import ConvDecoder
        >>> from espnet2.enh.encoder.conv_encoder import ConvEncoder
        >>> from espnet_plugins.enh.identity import Identity
        >>> encoder, decoder = (kind(channel=4, kernel_size=32, stride=16) for kind in (ConvEncoder, ConvDecoder))
        >>> model = ESPnetEnhancementModel(encoder, Identity(4), decoder, None, None)
        >>> algorithmic_latency(model, samples=1600)
        31
    """
    known = getattr(model.separator, "algorithmic_latency", None)
    if known is not None and not (model.normalize_variance or model.normalize_variance_per_ch):
        return known
    training = model.training
    model.eval()
    try:
        return _measure(model, samples)
    finally:
        model.train(training)


def _measure(model: ESPnetEnhancementModel, samples: int) -> float:
    waveform = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    waveform = waveform.to(next(model.parameters(), waveform).device)
    lengths = torch.tensor([samples], device=waveform.device)

    def poisoned(start: int) -> torch.Tensor:
        """Which output samples depend on the waveform from `start` on."""
        broken = waveform.clone()
        broken[:, start:] = math.nan
        estimates, *_ = model.forward_enhance(broken, lengths, {"num_spk": model.num_spk})
        return torch.stack(list(estimates)).isnan().flatten(0, 1).any(0)

    found = []
    for start in (int(share * samples) for share in _PROBED):
        reached = poisoned(start)
        if not reached.any():
            raise ValueError("the front-end's output does not depend on its input: its latency cannot be measured")
        first = int(reached.int().argmax())
        if first == 0:
            return math.inf
        last, beyond = start, samples
        while beyond - last > 1:
            middle = (last + beyond) // 2
            last, beyond = (middle, beyond) if poisoned(middle)[first] else (last, middle)
        found.append(last - first)
    return max(*found, 0)
