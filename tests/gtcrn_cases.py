"""GTCRN's parameters under the names and in the shapes of its authors' code."""

import torch

from espnet_plugins.enh.gtcrn import band_filters

_BLOCK = {
    "widen.conv": "point_conv1",
    "widen.norm": "point_bn1",
    "widen.activation": "point_act",
    "depthwise.conv": "depth_conv",
    "depthwise.norm": "depth_bn",
    "depthwise.activation": "depth_act",
    "narrow.conv": "point_conv2",
    "narrow.norm": "point_bn2",
    "attention": "tra.att_gru",
    "gate": "tra.att_fc",
}
_DUAL = {
    "over_frequency.0": "intra_rnn.rnn1",
    "over_frequency.1": "intra_rnn.rnn2",
    "mix_frequency": "intra_fc",
    "norm_frequency": "intra_ln",
    "over_time.0": "inter_rnn.rnn1",
    "over_time.1": "inter_rnn.rnn2",
    "mix_time": "inter_fc",
    "norm_time": "inter_ln",
}
_LAYER = {"conv": "conv", "norm": "bn", "activation": "act"}


def _named(prefix, theirs, parts):
    return {f"network.{prefix}.{ours}.": f"{theirs}.{part}." for ours, part in parts.items()}


def to_authors_layout(state):
    """The same weights as the authors' code has them, written from a description of it."""
    prefixes = {}
    for k in range(2):
        prefixes |= _named(f"down.{k}", f"encoder.en_convs.{k}", _LAYER)
        prefixes |= _named(f"up.{k}", f"decoder.de_convs.{k + 3}", _LAYER)
        prefixes |= _named(f"recurrences.{k}", f"dpgrnn{k + 1}", _DUAL)
    for k in range(3):
        prefixes |= _named(f"encoder.{k}", f"encoder.en_convs.{k + 2}", _BLOCK)
        prefixes |= _named(f"decoder.{k}", f"decoder.de_convs.{k}", _BLOCK)
    theirs = {"erb.erb_fc.weight": band_filters(), "erb.ierb_fc.weight": band_filters().T}
    for name, value in state.items():
        ours = next(prefix for prefix in prefixes if name.startswith(prefix))
        renamed = prefixes[ours] + name.removeprefix(ours)
        transposed = renamed.startswith("decoder.de_convs") and value.dim() == 4
        if renamed.endswith("point_conv1.weight"):
            value = torch.stack([value[:, c, 0, k] for c in range(8) for k in range(3)], dim=1)[..., None, None]
        if renamed.endswith("depth_conv.weight") and transposed:
            value = value.flip((2, 3))
        if renamed.endswith(("point_conv1.weight", "point_conv2.weight")) and transposed:
            value = value.transpose(0, 1)
        theirs[renamed] = value.clone()
    return theirs
