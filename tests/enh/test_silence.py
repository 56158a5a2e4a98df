"""A row whose reference is silent takes no part, whatever the criterion; the others are learned from."""

import re

import numpy as np
import pytest
import soundfile
import tiny_training
import torch
from espnet2.enh.decoder.stft_decoder import STFTDecoder
from espnet2.enh.encoder.stft_encoder import STFTEncoder
from espnet2.enh.espnet_model import ESPnetEnhancementModel
from espnet2.enh.loss.criterions import tf_domain, time_domain
from espnet2.enh.loss.wrappers.fixed_order import FixedOrderSolver
from espnet2.enh.loss.wrappers.pit_solver import PITSolver
from espnet2.enh.separator.rnn_separator import RNNSeparator
from joint_configuration import build_settings, joint_batch, joint_settings

from espnet_plugins.enh.model import LengthAwareEnhancementModel
from espnet_plugins.enh.wrappers import InheritPermutation
from espnet_plugins.objectives import CRITERIA

LENGTHS = torch.tensor([1600, 1200, 900, 1600])
SPECTRAL = {"n_fft": 64, "hop_length": 16}
STOCK = {
    "si_snr": time_domain.SISNRLoss,
    "si_snr of sources with a mean": lambda: time_domain.SISNRLoss(zero_mean=False),
    "si_snr clamped": lambda: time_domain.SISNRLoss(clamp_db=30),
    "snr": time_domain.SNRLoss,
    "sdr": lambda: time_domain.SDRLoss(filter_length=16),
    "ci_sdr": lambda: time_domain.CISDRLoss(filter_length=16),
    "l1_td": time_domain.TimeDomainL1,
    "mr_l1_tfd": lambda: time_domain.MultiResL1SpecLoss([64]),
    "mr_l1_tfd normalized": lambda: time_domain.MultiResL1SpecLoss([64], normalize_variance=True),
    "mse": tf_domain.FrequencyDomainMSE,
    "mse on masks": lambda: tf_domain.FrequencyDomainMSE(compute_on_mask=True, mask_type="PSM"),
    "coh": tf_domain.FrequencyDomainAbsCoherence,
}
# Not defined where the estimate is silent.
RATIOS = ("si_snr", "sdr", "ci_sdr")
# ESPnet 202511 divides by a deviation of zero here, 202611 does not.
if not STOCK["mr_l1_tfd normalized"]()(torch.randn(1, 400), torch.zeros(1, 400)).isfinite().all():
    RATIOS += ("mr_l1_tfd normalized",)
every_criterion = pytest.mark.parametrize("name", STOCK)


def build(*wrappers, num_spk=1):
    torch.manual_seed(0)
    encoder, decoder = STFTEncoder(**SPECTRAL), STFTDecoder(**SPECTRAL)
    separator = RNNSeparator(encoder.output_dim, rnn_type="gru", num_spk=num_spk, layer=1, unit=4)
    stock = ESPnetEnhancementModel(encoder, separator, decoder, None, list(wrappers))
    return LengthAwareEnhancementModel.from_stock(stock)


def signals(count):
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(len(LENGTHS), 1600, generator=generator) for _ in range(count)]


def step(model, mixture, references, lengths=LENGTHS):
    model.zero_grad()
    batch = {f"speech_ref{k + 1}": reference for k, reference in enumerate(references)}
    loss, stats, weight = model(mixture, lengths, **batch)
    loss.sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    return loss.detach().squeeze(), stats, float(weight), gradients


def silence_row(reference, row, value=0.0):
    reference = reference.clone()
    reference[row, : LENGTHS[row]] = value
    return reference


@every_criterion
@pytest.mark.parametrize("value", [0.0, 0.1], ids=["zeros", "constant"])
def test_the_others_are_learned_from_as_if_it_were_not_there(name, value):
    model = build(FixedOrderSolver(STOCK[name]()))
    mixture, reference = signals(2)
    others = [0, 2, 3]
    expected = step(model, mixture[others], [reference[others]], LENGTHS[others])
    found = step(model, mixture, [silence_row(reference, 1, value)])
    torch.testing.assert_close((found[0], found[3]), (expected[0], expected[3]), rtol=1e-4, atol=1e-6)
    assert found[2] == 3
    assert float(found[1]["silent_references"]) == pytest.approx(1 / 3)
    assert float(expected[1]["silent_references"]) == 0
    assert all(gradient.isfinite().all() for gradient in found[3].values())
    assert any(gradient.ne(0).any() for gradient in found[3].values())


@every_criterion
def test_where_all_are_silent_nothing_is_learned_and_the_statistics_stay(name, caplog):
    model = build(FixedOrderSolver(STOCK[name]()))
    mixture, reference = signals(2)
    _, usual, *_ = step(model, mixture, [reference])
    loss, stats, weight, gradients = step(model, mixture, [torch.zeros_like(reference)])
    assert (float(loss), weight) == (0, 0)
    assert stats.keys() == usual.keys()
    assert all(float(value) == 0 for value in stats.values())
    assert all(gradient.eq(0).all() for gradient in gradients.values())
    assert "All 4 references of a batch are silent" in caplog.text


def test_a_silent_mixture_too():
    model = build(FixedOrderSolver(time_domain.SISNRLoss()))
    silence = torch.zeros(4, 1600)
    loss, _, _, gradients = step(model, silence, [silence])
    assert float(loss) == 0
    assert all(gradient.eq(0).all() for gradient in gradients.values())


def test_of_several_speakers_one_that_is_silent_is_enough():
    model = build(PITSolver(time_domain.SISNRLoss()), num_spk=2)
    mixture, *references = signals(3)
    others = [0, 1, 3]
    expected = step(model, mixture[others], [one[others] for one in references], LENGTHS[others])
    references[1] = silence_row(references[1], 2)
    found = step(model, mixture, references)
    torch.testing.assert_close((found[0], found[3]), (expected[0], expected[3]), rtol=1e-4, atol=1e-6)
    estimates = [reference.clone().requires_grad_() for reference in signals(3)[:0:-1]]
    *_, perm = model.forward_loss(estimates, LENGTHS, None, None, {}, references)
    assert perm.tolist() == [[1, 0], [1, 0], [0, 1], [1, 0]]


def test_a_speaker_that_may_be_absent_is_no_silence():
    model = build(PITSolver(time_domain.SNRLoss()), num_spk=2)
    model.flexible_numspk = True
    mixture, *references = signals(3)
    *_, weight, _ = step(model, mixture, [references[0], silence_row(references[1], 2)])
    assert weight == 4


@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("wrapper", [FixedOrderSolver, PITSolver])
def test_a_silent_estimate_does_not_spoil_the_batch(name, wrapper, caplog):
    model = build(wrapper(STOCK[name]()))
    estimate, reference = signals(2)
    others = [0, 2, 3]
    alone = estimate[others].requires_grad_()
    expected, *_ = model.forward_loss([alone], LENGTHS[others], None, None, {}, [reference[others]])
    expected.sum().backward()
    assert not caplog.text
    estimate = silence_row(estimate, 1).requires_grad_()
    loss, *_ = model.forward_loss([estimate], LENGTHS, None, None, {}, [reference])
    loss.sum().backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(estimate.grad[others], alone.grad)
    assert estimate.grad[1].eq(0).all()
    assert "left out 1 of 4 rows, for which it is not defined" in caplog.text


def test_numbers_that_are_none_are_not_hidden():
    model = build(FixedOrderSolver(time_domain.SISNRLoss()))
    estimate, reference = signals(2)
    estimate[1, 5] = torch.nan
    estimate.requires_grad_()
    for references in (reference, silence_row(reference, 3)):
        loss, *_ = model.forward_loss([estimate], LENGTHS, None, None, {}, [references])
        assert loss.isnan().all()
    reference[2, 5] = torch.nan
    loss, *_ = model.forward_loss([signals(1)[0].requires_grad_()], LENGTHS, None, None, {}, [reference])
    assert loss.isnan().all()


@pytest.mark.parametrize("name", [name for name in CRITERIA if name != "mimic"])
def test_objectives_of_this_package(name, make_upstream):
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    model = build(InheritPermutation(CRITERIA[name](upstream=upstream, temporal={})))
    estimate, reference = signals(2)
    others = [0, 2, 3]
    alone = estimate[others].requires_grad_()
    torch.manual_seed(2)
    expected, *_ = model.forward_loss([alone], LENGTHS[others], None, None, {}, [reference[others]])
    estimate = estimate.requires_grad_()
    torch.manual_seed(2)
    loss, *_ = model.forward_loss([estimate], LENGTHS, None, None, {}, [silence_row(reference, 1)])
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    loss.sum().backward()
    assert estimate.grad[1].eq(0).all()
    # An estimate that is silent, and one that is perfect, have values and gradients.
    for special in (torch.zeros_like(reference), reference.clone()):
        special.requires_grad_()
        loss, *_ = model.forward_loss([special], LENGTHS, None, None, {}, [reference])
        loss.sum().backward()
        assert loss.isfinite().all()
        assert special.grad.isfinite().all()


def test_in_the_joint_model(make_upstream, batch, tmp_path):
    settings = joint_settings({"model": "local", "checkpoint": str(make_upstream())}, criterion="ssl_mse")
    model, data = build_settings(settings, tmp_path).train(), joint_batch(*batch)
    reference = data["speech_ref1"].clone()
    data["speech_ref1"][1] = 0
    loss, stats, weight = model(**data)
    loss.sum().backward()
    assert float(weight) == 3
    assert float(stats["silent_references"]) == 0.5
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
    _, stats, _ = model(**{**data, "speech_ref1": torch.zeros_like(reference)})
    assert np.isnan([float(stats["loss_enh"]), float(stats["ssl_mse"])]).all()
    assert np.isfinite(float(stats["loss"]))


def write_data(folder, heard):
    """The data of tiny_training with references that are zeros behind so many seconds."""
    tiny_training.write_data(folder)
    for path in sorted((folder / "spk1").iterdir()):
        signal, rate = soundfile.read(path)
        signal[int(heard * rate) :] = 0
        soundfile.write(path, signal, rate)


def train(folder, heard):
    write_data(folder / "data", heard)
    config = {**tiny_training.enhancement(), "max_epoch": 1, "log_interval": 1}
    process = tiny_training.start(tiny_training.command(config, folder / "data", folder / "exp"), folder / "exp")
    process.join()
    return process.exitcode, (folder / "exp" / "train.log").read_text()


def test_a_training_on_references_with_silent_ends_loses_no_update(tmp_path):
    code, log = train(tmp_path, 0.15)
    assert code == 0, log[-3000:]
    assert "Skipping updating" not in log
    norms = [float(norm) for norm in re.findall(r"grad_norm=([.\d]+(?:e[-+]\d+)?)", log)]
    # One for each update, and the mean of the epoch.
    assert len(norms) == len(re.findall(r":train:\d+-\d+batch", log)) + 1 > 6
    assert np.isfinite(norms).all()
    assert any(float(share) > 0 for share in re.findall(r":train:.*silent_references=([-+.e\d]+)", log))
    assert all(np.isfinite(float(*values)) for values in tiny_training.losses(tmp_path / "exp").values())


def test_a_training_on_silence_is_an_error(tmp_path):
    code, log = train(tmp_path, 0.0)
    assert code == 1
    assert re.search(r"epoch 1: (\d+) of \1 updates taught nothing: their gradient was zero or not finite", log)
    assert not (tmp_path / "exp" / "1epoch.pth").exists()
