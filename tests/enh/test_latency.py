"""The algorithmic latency of a front-end: what its outputs look ahead, found by hand and by brute force."""

import math

import pytest
import torch
from espnet2.enh.decoder.conv_decoder import ConvDecoder
from espnet2.enh.decoder.null_decoder import NullDecoder
from espnet2.enh.decoder.stft_decoder import STFTDecoder
from espnet2.enh.encoder.conv_encoder import ConvEncoder
from espnet2.enh.encoder.null_encoder import NullEncoder
from espnet2.enh.encoder.stft_encoder import STFTEncoder
from espnet2.enh.espnet_model import ESPnetEnhancementModel
from espnet2.enh.separator.rnn_separator import RNNSeparator
from espnet2.enh.separator.tcn_separator import TCNSeparator

from espnet_plugins.enh.demucs_separator import DemucsSeparator
from espnet_plugins.enh.identity import Identity
from espnet_plugins.enh.latency import algorithmic_latency
from espnet_plugins.enh.model import LengthAwareEnhancementModel

SAMPLES = 3200


class Ahead(Identity):
    """Means over a frame, three before it and two behind it."""

    def forward(self, input, ilens, additional=None):
        frames = torch.nn.functional.pad(input, (0, 0, 3, 2)).unfold(1, 6, 1).mean(-1)
        return [frames], ilens, {}


def front_end(separator, *, encoder=None, decoder=None, **options):
    torch.manual_seed(0)
    encoder = encoder or ConvEncoder(channel=8, kernel_size=32, stride=16)
    decoder = decoder or ConvDecoder(channel=8, kernel_size=32, stride=16)
    model = ESPnetEnhancementModel(encoder, separator(encoder.output_dim), decoder, None, None, **options)
    return LengthAwareEnhancementModel.from_stock(model)


def tcn(**options):
    sizes = {"layer": 2, "stack": 1, "bottleneck_dim": 8, "hidden_dim": 8, "num_spk": 1, **options}
    return lambda dim: TCNSeparator(dim, **sizes)


def rnn(kind):
    return lambda dim: RNNSeparator(dim, rnn_type=kind, num_spk=1, layer=1, unit=4)


def demucs(**options):
    separator = lambda dim: DemucsSeparator(dim, hidden=4, **options)  # noqa: E731
    return front_end(separator, encoder=NullEncoder(), decoder=NullDecoder())


def brute_force(model, samples):
    """The furthest that any sample looks ahead, from the gradient of every one."""
    waveform = (0.1 * torch.randn(1, samples, dtype=torch.float64)).requires_grad_()
    (estimate,), *_ = model.double().eval().forward_enhance(waveform, torch.tensor([samples]), {"num_spk": 1})
    furthest = []
    for n in range(samples // 2, samples * 5 // 8):
        (gradient,) = torch.autograd.grad(estimate[0, n], waveform, retain_graph=True)
        furthest.append(int(gradient[0].nonzero().max()) - n)
    return max(furthest)


@pytest.mark.parametrize(
    ("separator", "expected"),
    [
        # The last sample of a window of 32 reaches its first one.
        (Identity, 31),
        (Ahead, 31 + 2 * 16),
        (tcn(causal=True, norm_type="cLN"), 31),
        (rnn("lstm"), 31),
        # Two layers, which look one frame and two frames ahead.
        (tcn(causal=False, norm_type="BN"), 31 + 3 * 16),
        (tcn(causal=False, norm_type="gLN"), math.inf),
        (tcn(causal=True, norm_type="gLN"), math.inf),
        (rnn("blstm"), math.inf),
    ],
)
def test_front_ends_whose_delay_is_known(separator, expected):
    assert algorithmic_latency(front_end(separator), samples=SAMPLES) == expected


def test_spectra_as_by_brute_force():
    stft = {"n_fft": 256, "hop_length": 64}
    model = front_end(rnn("lstm"), encoder=STFTEncoder(**stft), decoder=STFTDecoder(**stft))
    found = algorithmic_latency(model, samples=SAMPLES)
    # The first weight of a Hann window is zero, which poison does not know.
    assert (found, brute_force(model, 1600)) == (255, 254)


def test_a_level_of_the_utterance_is_waited_for():
    assert algorithmic_latency(front_end(Identity, normalize_variance=True), samples=SAMPLES) == math.inf


def test_demucs_knows_its_delay():
    assert (
        algorithmic_latency(demucs(resample=2))
        == demucs(resample=2).separator.demucs.algorithmic_latency
        == 1194 + 2 * 56
    )
    assert algorithmic_latency(demucs(causal=False)) == math.inf


def test_what_demucs_knows_is_what_is_measured(monkeypatch):
    known = demucs(normalize=False).separator.algorithmic_latency
    monkeypatch.delattr(DemucsSeparator, "algorithmic_latency")
    model = demucs(normalize=False)
    assert known - model.separator.demucs.hop_length < algorithmic_latency(model, samples=6400) <= known
    assert algorithmic_latency(demucs(), samples=6400) == math.inf
    assert algorithmic_latency(demucs(normalize=False, causal=False), samples=6400) == math.inf


def test_the_model_is_left_as_it_was():
    model = front_end(tcn(causal=True, norm_type="cLN")).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    algorithmic_latency(model, samples=SAMPLES)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_output_that_gets_nothing():
    class Deaf(Identity):
        def forward(self, input, ilens, additional=None):
            return [torch.zeros_like(input)], ilens, {}

    with pytest.raises(ValueError, match="output does not depend on its input"):
        algorithmic_latency(front_end(Deaf), samples=SAMPLES)
