"""Recurrent encoders give each utterance the same in any order of the batch."""

import pytest
import torch
from espnet2.asr.encoder.rnn_encoder import RNNEncoder
from espnet2.asr.encoder.vgg_rnn_encoder import VGGRNNEncoder

from espnet_plugins.asr.ordering import accept_any_order


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
    accept_any_order(encoder)
    assert list(encoder.state_dict()) == names
    found, found_lengths, _ = encoder(frames[shuffled], lengths[shuffled])
    assert found_lengths.tolist() == expected_lengths[shuffled].tolist()
    torch.testing.assert_close(found, expected[shuffled])
