"""The linear encoder as ESPnet's recognizer of phones."""

import torch
from espnet2.tasks.asr import encoder_choices
from espnet2.tasks.enh_s2t import asr_encoder_choices

import espnet_plugins.register  # noqa: F401
from espnet_plugins.asr.linear import LinearEncoder


def test_every_frame_by_itself_and_nothing_but_linear():
    torch.manual_seed(0)
    encoder = LinearEncoder(6, output_size=4)
    frames = torch.randn(2, 7, 6)
    lengths = torch.tensor([7, 3])
    mapped, out_lengths, state = encoder(frames, lengths, masks=None)
    assert (mapped.shape, out_lengths.tolist(), state) == ((2, 7, 4), [7, 3], None)
    order = torch.tensor([3, 1, 0, 6, 2, 5, 4])
    torch.testing.assert_close(encoder(frames[:, order], lengths)[0], mapped[:, order])
    torch.testing.assert_close(encoder(2 * frames, lengths)[0] - mapped, mapped - encoder(0 * frames, lengths)[0])


def test_it_is_known_to_both_tasks():
    assert encoder_choices.get_class("linear") is asr_encoder_choices.get_class("linear") is LinearEncoder
