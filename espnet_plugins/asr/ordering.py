"""Recurrent encoders that take the utterances of a batch in any order.

ESPnet's want the longest first, which the utterances of several speakers, one speaker after the other, are not.
"""

from __future__ import annotations

import torch
from espnet2.asr.encoder.rnn_encoder import RNNEncoder
from espnet2.asr.encoder.vgg_rnn_encoder import VGGRNNEncoder


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


def accept_any_order(encoder: torch.nn.Module) -> None:
    """Let a recogniser's encoder take utterances in any order, in place; names of parameters stay.

    Args:
        encoder: Any; only ESPnet's recurrent ones are changed.

    Example:
        >>> encoder = RNNEncoder(4, hidden_size=4, output_size=4, num_layers=1, dropout=0.0)
        >>> accept_any_order(encoder)
        >>> encoder(torch.zeros(2, 20, 4), torch.tensor([12, 20]))[1].tolist()
        [6, 10]
    """
    if isinstance(encoder, (RNNEncoder, VGGRNNEncoder)) and not isinstance(encoder, _AnyOrder):
        # A change of class keeps modules, parameters and their names.
        kind: type = type(encoder)
        encoder.__class__ = type(kind.__name__, (_AnyOrder, kind), {})
