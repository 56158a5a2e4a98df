"""ESPnet's recurrent encoders without dropout where there is none to be.

ESPnet 202511 drops activations between the layers of an encoder with projections (`RNNP`) in evaluation mode, too:
its `F.dropout` is not told the mode. Recognition would be at random, and worse.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import torch
from espnet.nets.pytorch_backend.rnn.encoders import RNNP

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
