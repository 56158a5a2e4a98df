"""Weights of GTCRN in the layout of its authors' code as weights of the module here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch

from espnet_plugins.enh.gtcrn import band_filters

# Their names (a pattern) and ours. In the decoder, they have transposed convolutions where a plain one does.
_NAMES = (
    (r"encoder\.en_convs\.([01])\.(conv|bn|act)\.(.*)", r"down.\1.\2.\3"),
    (r"decoder\.de_convs\.3\.(conv|bn|act)\.(.*)", r"up.0.\1.\2"),
    (r"decoder\.de_convs\.4\.(conv|bn|act)\.(.*)", r"up.1.\1.\2"),
    (r"(encoder)\.en_convs\.2\.(.*)", r"\1.0.\2"),
    (r"(encoder)\.en_convs\.3\.(.*)", r"\1.1.\2"),
    (r"(encoder)\.en_convs\.4\.(.*)", r"\1.2.\2"),
    (r"(decoder)\.de_convs\.([012])\.(.*)", r"\1.\2.\3"),
    (r"dpgrnn1\.(.*)", r"recurrences.0.\1"),
    (r"dpgrnn2\.(.*)", r"recurrences.1.\1"),
)
_PARTS = {
    ".bn.": ".norm.",
    ".act.": ".activation.",
    ".point_conv1.": ".widen.conv.",
    ".point_bn1.": ".widen.norm.",
    ".point_act.": ".widen.activation.",
    ".depth_conv.": ".depthwise.conv.",
    ".depth_bn.": ".depthwise.norm.",
    ".depth_act.": ".depthwise.activation.",
    ".point_conv2.": ".narrow.conv.",
    ".point_bn2.": ".narrow.norm.",
    ".tra.att_gru.": ".attention.",
    ".tra.att_fc.": ".gate.",
    ".intra_rnn.rnn1.": ".over_frequency.0.",
    ".intra_rnn.rnn2.": ".over_frequency.1.",
    ".intra_fc.": ".mix_frequency.",
    ".intra_ln.": ".norm_frequency.",
    ".inter_rnn.rnn1.": ".over_time.0.",
    ".inter_rnn.rnn2.": ".over_time.1.",
    ".inter_fc.": ".mix_time.",
    ".inter_ln.": ".norm_time.",
}
_BANDS = {"erb.erb_fc.weight": lambda filters: filters, "erb.ierb_fc.weight": torch.t}


def rename(name: str) -> str:
    """The name here of one of the authors' parameters; one that is none of theirs is given back.

    Example:
        >>> rename("decoder.de_convs.0.tra.att_fc.weight")
        'network.decoder.0.gate.weight'
        >>> rename("dpgrnn2.inter_rnn.rnn1.bias_hh_l0")
        'network.recurrences.1.over_time.0.bias_hh_l0'
    """
    for pattern, ours in _NAMES:
        if match := re.fullmatch(pattern, name):
            renamed = match.expand(ours)
            for their_part, our_part in _PARTS.items():
                renamed = renamed.replace(their_part, our_part)
            return f"network.{renamed}"
    return name


def _reshape(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    transposed = name.startswith("decoder.")
    if name.endswith("point_conv1.weight"):
        # Their three neighbors of each channel are inputs; ours are taps.
        return lambda weight: (weight.transpose(0, 1) if transposed else weight).reshape(16, 8, 1, 3)
    if transposed and name.endswith("depth_conv.weight"):
        return lambda weight: weight.flip(2, 3)
    if transposed and name.endswith("point_conv2.weight"):
        return lambda weight: weight.transpose(0, 1)
    return lambda weight: weight


def from_published(weights: Mapping[str, torch.Tensor], *, where: str) -> dict[str, torch.Tensor]:
    """Turn a state dict of the authors' code into one of :class:`~espnet_plugins.enh.gtcrn.GTCRN`.

    Args:
        weights: Theirs.
        where: What an error message calls it.

    Returns:
        Ours. Names that are not theirs stay, for the check of the layout to name.

    Raises:
        ValueError: When the filters of the bands, which are fixed, are others, or a tensor has another shape.
    """
    converted = {}
    for name, value in weights.items():
        if name in _BANDS:
            expected = _BANDS[name](band_filters())
            if value.shape != expected.shape or not torch.allclose(value.float(), expected, atol=1e-5):
                raise ValueError(f"{where}: {name} is not the filter bank of GTCRN")
            continue
        try:
            converted[rename(name)] = _reshape(name)(value)
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"{where}: {name} has shape {list(value.shape)}, which is not GTCRN's") from error
    return converted
