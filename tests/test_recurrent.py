"""Dropout of ESPnet's recurrent encoder: none in evaluation, as before in training."""

import copy
import pickle

import pytest
import torch
from espnet2.asr.encoder.rnn_encoder import RNNEncoder

from espnet_plugins.recurrent import drop_in_training_only

FRAMES, LENGTHS = torch.randn(2, 20, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([20, 15])


@pytest.fixture
def stock():
    torch.manual_seed(0)
    return RNNEncoder(6, rnn_type="gru", num_layers=3, hidden_size=8, output_size=8, dropout=0.5, subsample=[1, 1])


def encode(encoder, seed):
    torch.manual_seed(seed)
    return encoder(FRAMES, LENGTHS)[0]


def test_stock_espnet_needs_this(stock):
    """Fails once ESPnet is mended: then this module can go."""
    assert not torch.equal(encode(stock.eval(), 1), encode(stock.eval(), 2))


def test_evaluation_is_repeatable_and_without_dropout(stock):
    without = copy.deepcopy(stock)
    for module in without.modules():
        if hasattr(module, "dropout"):
            module.dropout = 0.0
    mended = drop_in_training_only(stock).eval()
    assert torch.equal(encode(mended, 1), encode(mended, 2))
    assert torch.equal(encode(mended, 1), encode(without.eval(), 1))


def test_training_is_as_before(stock):
    mended = drop_in_training_only(drop_in_training_only(copy.deepcopy(stock)))
    encode(mended.eval(), 1)
    assert torch.equal(encode(mended.train(), 3), encode(stock.train(), 3))
    assert not torch.equal(encode(mended, 3), encode(mended, 4))


def test_weights_names_and_copies_stay(stock):
    mended = drop_in_training_only(copy.deepcopy(stock))
    assert list(mended.state_dict()) == list(stock.state_dict())
    for twin in (copy.deepcopy(mended), pickle.loads(pickle.dumps(mended))):
        assert torch.equal(encode(twin.eval(), 1), encode(mended.eval(), 2))
