"""The enhancement model respects lengths; the wrapper inherits the permutation and calls its criterion once."""

import pytest
import torch
from espnet2.enh.decoder.conv_decoder import ConvDecoder
from espnet2.enh.encoder.conv_encoder import ConvEncoder
from espnet2.enh.espnet_model import ESPnetEnhancementModel
from espnet2.enh.loss.criterions.time_domain import SISNRLoss, TimeDomainLoss
from espnet2.enh.loss.wrappers.fixed_order import FixedOrderSolver
from espnet2.enh.loss.wrappers.pit_solver import PITSolver
from espnet2.enh.separator.tcn_separator import TCNSeparator

from espnet_plugins.enh.criteria import PerUtterance, adapt
from espnet_plugins.enh.lengths import mask_padding, std
from espnet_plugins.enh.model import LengthAwareEnhancementModel
from espnet_plugins.enh.wrappers import InheritPermutation

LENGTHS = torch.tensor([800, 500, 640])


class Recorder(TimeDomainLoss):
    """Keeps what it was called with."""

    def __init__(self):
        super().__init__("recorder")
        self.calls = []

    def forward(self, ref, inf, lengths=None):
        self.calls.append((ref, inf, lengths))
        return (ref - inf).square().mean(dim=1)


def build(*, num_spk=1, wrappers):
    torch.manual_seed(0)
    separator = TCNSeparator(8, num_spk=num_spk, layer=2, stack=1, bottleneck_dim=8, hidden_dim=8, nonlinear="relu")
    stock = ESPnetEnhancementModel(ConvEncoder(8, 16, 8), separator, ConvDecoder(8, 16, 8), None, wrappers)
    return LengthAwareEnhancementModel.from_stock(stock)


def signals(count, n_samples=800):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(len(LENGTHS), n_samples, generator=generator) for _ in range(count)]


def loss_of(model, estimates, references):
    return model.forward_loss(estimates, LENGTHS, None, None, {}, references)


def test_nothing_behind_the_end_reaches_a_stock_criterion():
    model = build(wrappers=[FixedOrderSolver(SISNRLoss(), 1.0)])
    reference, estimate = signals(2)
    estimate.requires_grad_()
    expected = torch.stack([SISNRLoss()(reference[i, None, :n], estimate[i, None, :n]) for i, n in enumerate(LENGTHS)])
    loss, *_ = loss_of(model, [estimate], [reference])
    torch.testing.assert_close(loss.squeeze(), expected.mean())
    poisoned = reference.clone()
    poisoned[1, 500:] = float("nan")
    torch.testing.assert_close(loss_of(model, [estimate], [poisoned])[0], loss)
    assert set(model.last_stats) == {"si_snr_loss", "silent_references"}


def test_estimates_are_zero_behind_the_end():
    model = build(wrappers=[FixedOrderSolver(SISNRLoss(), 1.0)])
    (estimate,), *_ = model.forward_enhance(signals(1)[0], LENGTHS, {})
    assert estimate[1, :500].abs().min() > 0 or estimate[1, :500].abs().sum() > 0
    assert estimate[1, 500:].eq(0).all()


def test_equal_lengths_are_passed_on_untouched():
    waveform = signals(1)[0]
    assert mask_padding(waveform, torch.tensor([800, 800, 800])) is waveform


def test_a_wrapper_that_goes_utterance_by_utterance_is_refused():
    criterion = PerUtterance(SISNRLoss())
    criterion.lengths = LENGTHS
    with pytest.raises(ValueError, match="inherit_permutation"):
        criterion(torch.zeros(1, 800), torch.zeros(1, 800))


def test_the_permutation_is_inherited_in_one_call_for_all_speakers():
    recorder = Recorder()
    wrappers = [PITSolver(SISNRLoss(), weight=0.0), InheritPermutation(recorder, weight=1.0)]
    model = build(num_spk=2, wrappers=wrappers)
    references = [mask_padding(reference, LENGTHS) for reference in signals(2)]
    # The second utterance's speakers are swapped in the estimates.
    estimates = [reference.clone() for reference in references]
    estimates[0][1], estimates[1][1] = references[1][1], references[0][1]
    for estimate in estimates:
        estimate.requires_grad_()
    loss_of(model, estimates, references)
    assert len(recorder.calls) == 1
    reference, estimate, lengths = recorder.calls[0]
    assert reference.shape == (6, 800)
    torch.testing.assert_close(estimate, reference)
    assert lengths.tolist() == [*LENGTHS.tolist(), *LENGTHS.tolist()]


def test_several_speakers_without_a_permutation_are_an_error():
    with pytest.raises(ValueError, match="a permutation solver must come first"):
        InheritPermutation(Recorder())(signals(2), signals(2), {"speech_lengths": LENGTHS})


def test_statistics_of_the_criterion_are_logged():
    recorder = Recorder()
    recorder.stats = {"detail": torch.tensor([1.0, 3.0])}
    _, stats, _ = InheritPermutation(recorder)(signals(1), signals(1), {"speech_lengths": LENGTHS})
    assert stats["detail"].item() == 2
    assert stats["recorder"].item() == 0


def spectral(name, **options):
    from espnet2.enh.loss.criterions import tf_domain

    return getattr(tf_domain, name)(**options)


@pytest.mark.parametrize("encoder", ["conv", "stft"])
@pytest.mark.parametrize("name", ["FrequencyDomainMSE", "FrequencyDomainL1"])
def test_spectral_criteria_give_each_utterance_the_value_it_has_alone(encoder, name):
    from espnet2.enh.encoder.stft_encoder import STFTEncoder

    encoder = ConvEncoder(8, 16, 8) if encoder == "conv" else STFTEncoder(n_fft=64, hop_length=16)
    criterion = adapt(spectral(name), encoder)
    reference, estimate = signals(2)
    criterion.lengths = LENGTHS
    together = criterion(reference, estimate)
    for row, n in enumerate(LENGTHS.tolist()):
        one = torch.tensor([n])
        spectra = [encoder(waveform[row : row + 1, :n], one)[0] for waveform in (reference, estimate)]
        torch.testing.assert_close(together[row], spectral(name)(*spectra)[0])
    assert criterion.name == spectral(name).name
    assert not list(criterion.parameters())


@pytest.mark.parametrize("name", ["FrequencyDomainMSE", "FrequencyDomainL1"])
def test_mask_criteria_end_with_the_utterance(name):
    encoder = ConvEncoder(8, 16, 8)
    criterion = adapt(spectral(name, compute_on_mask=True, mask_type="IRM"), encoder)
    criterion.lengths = LENGTHS
    frames = encoder(torch.zeros(3, 800), LENGTHS)[1]
    assert frames.tolist() == [99, 61, 79]
    generator = torch.Generator().manual_seed(0)
    reference, estimate = torch.rand(2, 3, 99, 8, generator=generator)
    expected = criterion(reference, estimate)
    for row, n in enumerate(frames.tolist()):
        alone = spectral(name, compute_on_mask=True)(reference[row : row + 1, :n], estimate[row : row + 1, :n])
        torch.testing.assert_close(expected[row], alone[0])
        reference[row, n:] = torch.nan
    torch.testing.assert_close(criterion(reference, estimate), expected)
    assert criterion.compute_on_mask
    assert criterion.mask_type == "IRM"


def test_spectral_criteria_in_the_model():
    model = build(wrappers=[FixedOrderSolver(spectral("FrequencyDomainMSE")), InheritPermutation(Recorder())])
    reference, estimate = signals(2)
    value, *_ = loss_of(model, [estimate], [reference])
    poisoned = reference.clone()
    poisoned[1, 500:] = 9.0
    torch.testing.assert_close(loss_of(model, [estimate], [poisoned])[0], value)


def test_variance_is_that_of_the_valid_samples():
    generator = torch.Generator().manual_seed(0)
    waveform = 3 * torch.randn(2, 400, 2, generator=generator)
    lengths = torch.tensor([400, 250])
    found = std(waveform, lengths)
    assert found.shape == (2, 1, 1)
    torch.testing.assert_close(found[1, 0, 0], waveform[1, :250].std())
    found = std(waveform, lengths, per_channel=True)
    assert found.shape == (2, 1, 2)
    torch.testing.assert_close(found[1, 0], waveform[1, :250].std(dim=0))
