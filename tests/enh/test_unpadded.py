"""In a padded batch, an utterance is enhanced as it is alone by ESPnet's own modules, gradient included."""

from copy import deepcopy

import pytest
import torch
from espnet2.enh.decoder.conv_decoder import ConvDecoder
from espnet2.enh.decoder.stft_decoder import STFTDecoder
from espnet2.enh.encoder.conv_encoder import ConvEncoder
from espnet2.enh.encoder.stft_encoder import STFTEncoder
from espnet2.enh.espnet_model import ESPnetEnhancementModel
from espnet2.enh.layers.tcn import choose_norm
from espnet2.enh.loss.criterions.tf_domain import FrequencyDomainMSE
from espnet2.enh.loss.criterions.time_domain import SISNRLoss
from espnet2.enh.loss.wrappers.fixed_order import FixedOrderSolver
from espnet2.enh.loss.wrappers.pit_solver import PITSolver
from espnet2.enh.separator.conformer_separator import ConformerSeparator
from espnet2.enh.separator.dccrn_separator import DCCRNSeparator
from espnet2.enh.separator.dprnn_separator import DPRNNSeparator
from espnet2.enh.separator.rnn_separator import RNNSeparator
from espnet2.enh.separator.tcn_separator import TCNSeparator

from espnet_plugins.enh.masked_norms import mask_norms
from espnet_plugins.enh.model import LengthAwareEnhancementModel

LENGTHS = torch.tensor([1600, 1264, 997])
TCN = {"layer": 2, "stack": 2, "bottleneck_dim": 8, "hidden_dim": 8}
SEPARATORS = {
    "tcn_gln": (TCNSeparator, {**TCN, "norm_type": "gLN"}),
    "tcn_cln": (TCNSeparator, {**TCN, "norm_type": "cLN", "causal": True}),
    "tcn_gn": (TCNSeparator, {**TCN, "norm_type": "GN", "masking": False}),
    "tcn_bn": (TCNSeparator, {**TCN, "norm_type": "BN"}),
    "rnn": (RNNSeparator, {"rnn_type": "blstm", "layer": 1, "unit": 8, "dropout": 0.0}),
    "dprnn": (DPRNNSeparator, {"layer": 1, "unit": 8, "segment_size": 8, "dropout": 0.0}),
    "conformer": (
        ConformerSeparator,
        {"layers": 1, "adim": 8, "aheads": 2, "linear_units": 8, "conformer_pos_enc_layer_type": "abs_pos"}
        | {"conformer_self_attn_layer_type": "selfattn", "positional_dropout_rate": 0.0},
    ),
}
SPECTRAL = {"n_fft": 64, "hop_length": 16}


def build_stock(separator, *, spectral=False, num_spk=1, criterion=None, **options):
    torch.manual_seed(0)
    kind, conf = SEPARATORS[separator]
    encoder = STFTEncoder(**SPECTRAL) if spectral else ConvEncoder(8, 32, 16)
    decoder = STFTDecoder(**SPECTRAL) if spectral else ConvDecoder(8, 32, 16)
    built = kind(encoder.output_dim, num_spk=num_spk, **conf)
    with torch.no_grad():
        # Norms start as identities; trained ones shift what is behind the end away from zero.
        for weight in built.parameters():
            weight.add_(0.2 * torch.rand_like(weight))
    wrapper = (FixedOrderSolver if num_spk == 1 else PITSolver)(criterion or SISNRLoss())
    return ESPnetEnhancementModel(encoder, built, decoder, None, [wrapper], **options).eval()


def make_batch(num_spk=1):
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(int(LENGTHS.max())) < LENGTHS[:, None]
    mix, *references = torch.randn(1 + num_spk, *mask.shape, generator=generator) * mask
    return {"speech_mix": mix, **{f"speech_ref{k + 1}": reference for k, reference in enumerate(references)}}


def step(model, batch, lengths):
    """Loss and gradients of a batch."""
    model.zero_grad()
    loss, *_ = model(speech_mix_lengths=lengths, **batch)
    loss.backward()
    return loss.detach().squeeze(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


def alone(model, batch):
    """The mean of what ESPnet gives for each utterance by itself."""
    parts = [
        step(model, {name: value[row : row + 1, :n] for name, value in batch.items()}, torch.tensor([n]))
        for row, n in enumerate(LENGTHS.tolist())
    ]
    names = parts[0][1]
    return torch.stack([loss for loss, _ in parts]).mean(), {
        name: torch.stack([gradient[name] for _, gradient in parts]).mean(0) for name in names
    }


def assert_equal(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    scale = max(float(gradient.abs().max()) for gradient in expected[1].values())
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-4 * scale, msg=name)


CASES = [(name, False) for name in SEPARATORS] + [("tcn_gln", True), ("rnn", True)]


@pytest.mark.parametrize(("separator", "spectral"), CASES)
def test_a_padded_batch_is_each_utterance_alone(separator, spectral):
    stock, batch = build_stock(separator, spectral=spectral), make_batch()
    model = LengthAwareEnhancementModel.from_stock(deepcopy(stock))
    expected = alone(stock, batch)
    assert_equal(step(model, batch, LENGTHS), expected)
    # Not so in ESPnet, or this test would show nothing.
    assert abs(step(stock, batch, LENGTHS)[0] - expected[0]) > 1e-3


@pytest.mark.parametrize("separator", ["tcn_gln", "rnn"])
@pytest.mark.parametrize("garbage", [7.0, float("nan"), float("inf")])
def test_what_stands_behind_the_end_has_no_effect(separator, garbage):
    model = LengthAwareEnhancementModel.from_stock(build_stock(separator, normalize_variance=True))
    batch = make_batch()
    expected = step(model, batch, LENGTHS)
    behind = torch.arange(1600) >= LENGTHS[:, None]
    found = step(model, {name: value.masked_fill(behind, garbage) for name, value in batch.items()}, LENGTHS)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_two_speakers():
    stock, batch = build_stock("tcn_gln", num_spk=2), make_batch(2)
    model = LengthAwareEnhancementModel.from_stock(deepcopy(stock))
    assert_equal(step(model, batch, LENGTHS), alone(stock, batch))


@pytest.mark.parametrize("spectral", [False, True])
def test_criteria_on_masks(spectral):
    criterion = FrequencyDomainMSE(compute_on_mask=True, mask_type="IAM")
    stock = build_stock("tcn_gln", spectral=spectral, criterion=criterion)
    model, batch = LengthAwareEnhancementModel.from_stock(deepcopy(stock)), make_batch()
    losses = [
        stock(value[:, :n], torch.tensor([n]), speech_ref1=reference[:, :n])[0]
        for value, reference, n in zip(*(one.split(1) for one in batch.values()), LENGTHS.tolist(), strict=True)
    ]
    loss, *_ = model(speech_mix_lengths=LENGTHS, **batch)
    torch.testing.assert_close(loss, torch.stack(losses).mean(0))
    assert abs(stock(speech_mix_lengths=LENGTHS, **batch)[0] - loss) > 1e-3


def test_batch_norm_takes_the_valid_frames_of_the_batch():
    torch.manual_seed(0)
    norm, lengths = choose_norm("BN", 4), [9, 5, 7]
    features = torch.randn(3, 4, 9)
    for row, n in enumerate(lengths):
        features[row, :, n:] = torch.nan
    features.requires_grad_()
    expected = deepcopy(norm)
    joined = torch.cat([row[:, :n] for row, n in zip(features, lengths, strict=True)], dim=1)
    wanted = expected(joined[None])[0]
    wanted.square().sum().backward()
    gradient, features.grad = features.grad, None
    network = torch.nn.Sequential(norm)
    with mask_norms(network).of(lengths):
        found = network(features)
    found.square().sum().backward()
    torch.testing.assert_close(torch.cat([row[:, :n] for row, n in zip(found, lengths, strict=True)], dim=1), wanted)
    assert all(row[:, n:].eq(0).all() for row, n in zip(found, lengths, strict=True))
    torch.testing.assert_close(features.grad, gradient)
    torch.testing.assert_close(norm.running_var, expected.running_var)


def test_batch_norms_of_a_whole_separator_ignore_the_padding():
    """In evaluation it is each utterance alone; in training, what stands behind the ends is nothing."""
    stock, batch = build_stock("tcn_bn"), make_batch()
    model = LengthAwareEnhancementModel.from_stock(deepcopy(stock))
    assert_equal(step(model, batch, LENGTHS), alone(stock, batch))
    behind = torch.arange(1600) >= LENGTHS[:, None]
    poisoned = {name: value.masked_fill(behind, torch.nan) for name, value in batch.items()}
    first, second = (step(deepcopy(model).train(), one, LENGTHS) for one in (batch, poisoned))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_complex_networks_and_two_dimensional_norms_go_one_by_one():
    torch.manual_seed(0)
    conf = {"rnn_units": 8, "kernel_num": [4, 4, 4, 4, 4, 4], "use_builtin_complex": True}
    encoder, decoder = STFTEncoder(256, hop_length=64), STFTDecoder(256, hop_length=64)
    separator = DCCRNSeparator(encoder.output_dim, num_spk=1, **conf)
    stock = ESPnetEnhancementModel(encoder, separator, decoder, None, [FixedOrderSolver(SISNRLoss())]).eval()
    model, batch = LengthAwareEnhancementModel.from_stock(deepcopy(stock)), make_batch()
    (found,), *_ = model.forward_enhance(batch["speech_mix"], LENGTHS, {})
    for row, n in enumerate(LENGTHS.tolist()):
        (expected,), *_ = stock.forward_enhance(batch["speech_mix"][row : row + 1, :n], torch.tensor([n]), {})
        torch.testing.assert_close(found[row, :n], expected[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("separator", SEPARATORS)
def test_checkpoints_are_interchangeable_with_espnets(separator):
    stock = build_stock(separator)
    model = LengthAwareEnhancementModel.from_stock(deepcopy(stock))
    assert list(model.state_dict()) == list(stock.state_dict())
    waveform, lengths = make_batch()["speech_mix"], torch.tensor([1600, 1600, 1600])
    (found,), *_ = model.forward_enhance(waveform, lengths, {})
    (expected,), *_ = stock.forward_enhance(waveform, lengths, {})
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_separator_that_respects_lengths_itself_gets_the_batch():
    stock = build_stock("rnn")
    stock.separator.length_aware = True
    seen = []
    stock.separator.rnn.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    model = LengthAwareEnhancementModel.from_stock(stock)
    model.forward_enhance(make_batch()["speech_mix"], LENGTHS, {})
    assert seen == [3]


def test_it_can_be_switched_off():
    stock, batch = build_stock("tcn_gln"), make_batch()
    model = LengthAwareEnhancementModel.from_stock(deepcopy(stock), ignore_padding=False)
    (found,), *_ = model.forward_enhance(batch["speech_mix"], LENGTHS, {})
    (expected,), *_ = stock.forward_enhance(batch["speech_mix"], LENGTHS, {})
    for row, n in enumerate(LENGTHS.tolist()):
        assert torch.equal(found[row, :n], expected[row, :n])
