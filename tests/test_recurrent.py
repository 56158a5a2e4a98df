"""ESPnet's recurrent encoders: dropout in training alone; each utterance the same in any order of the batch."""

import copy
import pickle

import pytest
import torch
from espnet2.asr.encoder.rnn_encoder import RNNEncoder
from espnet2.asr.encoder.vgg_rnn_encoder import VGGRNNEncoder

from espnet_plugins.recurrent import accept_any_order, drop_in_training_only

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
    for duplicate in (copy.deepcopy(mended), pickle.loads(pickle.dumps(mended))):
        assert torch.equal(encode(duplicate.eval(), 1), encode(mended.eval(), 2))


@pytest.mark.parametrize("kind", [RNNEncoder, VGGRNNEncoder])
def test_the_order_of_utterances_does_not_matter(kind):
    torch.manual_seed(0)
    sizes = {"num_layers": 1, "hidden_size": 6, "output_size": 5}
    encoder = kind(16, **sizes, **({"dropout": 0.0} if kind is RNNEncoder else {})).eval()
    frames, lengths = torch.randn(3, 40, 16), torch.tensor([40, 33, 20])
    names = list(encoder.state_dict())
    expected, expected_lengths, _ = encoder(frames, lengths)
    shuffled = torch.tensor([1, 2, 0])
    with pytest.raises(RuntimeError, match="sorted"):
        encoder(frames[shuffled], lengths[shuffled])
    encoder = accept_any_order(encoder)
    assert list(encoder.state_dict()) == names
    found, found_lengths, _ = encoder(frames[shuffled], lengths[shuffled])
    assert found_lengths.tolist() == expected_lengths[shuffled].tolist()
    torch.testing.assert_close(found, expected[shuffled])
