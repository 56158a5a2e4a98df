"""ESPnet's recurrent encoders without dropout where there is none to be, and for utterances in any order.

ESPnet (202511, 202611) drops activations between the layers of an encoder with projections (`RNNP`) in evaluation mode,
too: its `F.dropout` is not told the mode. Recognition would be at random, and worse. And its encoders want the longest
utterance first, which those of several speakers, one speaker after the other, are not.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import torch
from espnet2.asr.encoder.rnn_encoder import RNNEncoder
from espnet2.asr.encoder.vgg_rnn_encoder import VGGRNNEncoder

from espnet_plugins.compat import RNNP
from espnet_plugins.recast import extend, recast

Model = TypeVar("Model", bound=torch.nn.Module)


def drop_in_training_only(model: Model) -> Model:
    """Make dropout of the recurrent encoders in a model depend on its mode; calling it again changes nothing.

    Args:
        model: Any model; changed in place.

    Returns:
        The same model.

    Example:
        >>> encoder = drop_in_training_only(RNNP(4, 2, 4, 4, [1, 1, 1], 0.5, typ="gru")).eval()
        >>> frames, lengths = torch.ones(1, 9, 4), torch.tensor([9])
        >>> torch.equal(encoder(frames, lengths)[0], encoder(frames, lengths)[0])
        True
    """
    for module in model.modules():
        if isinstance(module, RNNP) and not module._forward_pre_hooks:
            module.register_forward_pre_hook(partial(_set_dropout, rate=module.dropout))
    return model


def _set_dropout(module: RNNP, inputs: tuple, *, rate: float) -> None:
    module.dropout = rate if module.training else 0.0


class _AnyOrder(torch.nn.Module):
    """Sorts the utterances on the way in and puts them back on the way out."""

    def forward(self, xs_pad, ilens, prev_states=None):
        """As the encoder; the states of a batch that had to be sorted are not given, nobody asks for them."""
        order = torch.argsort(ilens, descending=True, stable=True)
        if prev_states is not None or torch.equal(order, torch.arange(len(order), device=order.device)):
            return super().forward(xs_pad, ilens, prev_states)
        frames, lengths, _ = super().forward(xs_pad[order], ilens[order])
        back = torch.argsort(order)
        return frames[back], lengths[back], None


def accept_any_order(encoder: torch.nn.Module) -> torch.nn.Module:
    """Let a recognizer's encoder take utterances in any order; parameters and their names stay.

    Args:
        encoder: Any.

    Returns:
        One with the same parameters for ESPnet's recurrent encoders, every other as it is.

    Example:
        >>> encoder = RNNEncoder(4, hidden_size=4, output_size=4, num_layers=1, dropout=0.0)
        >>> accept_any_order(encoder)(torch.zeros(2, 20, 4), torch.tensor([12, 20]))[1].tolist()
        [6, 10]
    """
    if isinstance(encoder, (RNNEncoder, VGGRNNEncoder)) and not isinstance(encoder, _AnyOrder):
        return recast(encoder, extend(type(encoder), _AnyOrder))
    return encoder
