"""GTCRN: the published sizes and filters, padded batches as if alone, as a stream, what it refuses."""

import math

import pytest
import torch
from enhancer_checks import WRONG_INPUT, check_batch_as_if_alone, in_pieces
from espnet2.enh.decoder.null_decoder import NullDecoder
from espnet2.enh.encoder.null_encoder import NullEncoder
from espnet2.enh.espnet_model import ESPnetEnhancementModel
from joint_configuration import build_settings, joint_batch, joint_settings

from espnet_plugins.enh.gtcrn import GTCRN, FrameNorm, band_filters
from espnet_plugins.enh.gtcrn_separator import GTCRNSeparator
from espnet_plugins.enh.gtcrn_stream import GTCRNStream
from espnet_plugins.enh.latency import algorithmic_latency
from espnet_plugins.enh.model import LengthAwareEnhancementModel


def build(dtype=torch.float32, **options):
    """A model whose norms and biases matter."""
    torch.manual_seed(0)
    model = GTCRN(**options)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, FrameNorm):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.to(dtype).eval()


def noise(*shape, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def test_the_published_size():
    model = GTCRN()
    trained = sum(parameter.numel() for parameter in model.parameters())
    filters = 2 * model.network.bands.numel()
    # 23.7 thousand in the paper; with the filters of the bands, 48.2 thousand in the authors' code.
    assert (trained, filters, trained + filters) == (23_669, 24_576, 48_245)
    assert not any("bands" in name or "window" in name for name in model.state_dict())


def test_the_filters_of_the_bands():
    filters = band_filters()
    assert filters.shape == (64, 192)
    torch.testing.assert_close(filters.sum(0), torch.ones(192))
    assert filters.ge(0).all()
    assert filters.max(1).values.eq(1).all()
    # The first band peaks where the kept bins end, the last at half the rate; widths grow with frequency.
    peaks = filters.argmax(1)
    assert (int(peaks[0]), int(peaks[-1])) == (0, 191)
    widths = filters.gt(0).sum(1)
    assert widths[:8].sum() < widths[-9:-1].sum()


def by_hand(model, waveform):
    """Enhancement of one utterance with torch's own transforms."""
    window = torch.hann_window(512).sqrt().to(waveform)
    spectrum = torch.stft(waveform, 512, 256, window=window, center=True, return_complex=True)
    mask, _ = model.network(torch.stack([spectrum.real.T, spectrum.imag.T])[None])
    enhanced = spectrum * torch.complex(mask[0, 0], mask[0, 1]).T
    return torch.istft(enhanced, 512, 256, window=window, center=True)


@pytest.mark.parametrize("n_samples", [257, 512, 1000, 4096, 5001])
def test_transforms_are_torchs(n_samples):
    model, waveform = build(torch.float64), noise(n_samples, dtype=torch.float64)
    expected = by_hand(model, waveform)
    found = model(waveform[None])[0]
    assert found.shape == waveform.shape
    torch.testing.assert_close(found[: len(expected)], expected, atol=1e-7, rtol=0)
    assert found[len(expected) :].isfinite().all()


def test_a_mask_of_one_gives_every_sample_back(monkeypatch):
    model = build(torch.float64)

    def whole(spectra, valid=None, state=None):
        mask = torch.zeros_like(spectra)
        mask[:, 0] = 1
        return mask, state

    monkeypatch.setattr(model.network, "forward", whole)
    for n_samples in (1, 255, 256, 257, 511, 512, 513, 3000):
        waveform = noise(2, n_samples, dtype=torch.float64)
        torch.testing.assert_close(model(waveform), waveform, atol=1e-7, rtol=0)


LENGTHS = torch.tensor([1700, 1, 900, 1699, 256])


def test_each_utterance_of_a_batch_as_if_alone():
    model, waveform = build(torch.float64), noise(5, 1700, dtype=torch.float64)
    check_batch_as_if_alone(
        model, waveform, LENGTHS, values={"atol": 1e-10, "rtol": 1e-8}, gradients={"atol": 1e-8, "rtol": 1e-6}
    )


def test_lengths_below_the_width_of_the_batch():
    model, waveform = build(), noise(2, 2000)
    found = model(waveform, torch.tensor([700, 300]))
    torch.testing.assert_close(found[0, :700], model(waveform[:1, :700])[0], atol=1e-6, rtol=1e-4)
    assert found.shape == waveform.shape
    assert found[:, 700:].eq(0).all()


def test_in_training_norms_take_the_valid_frames_of_the_batch():
    """Padding is in no mean: with the same frames, more of it changes nothing."""
    lengths = torch.tensor([1700, 600])
    narrow, wide = noise(2, 1700), torch.cat([noise(2, 1700), torch.full((2, 4000), torch.nan)], dim=1)
    results = []
    for waveform in (narrow, wide):
        model = build().train()
        estimate = model(waveform, lengths)
        estimate.square().sum().backward()
        gradients = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        statistics = torch.cat([value.flatten() for name, value in model.state_dict().items() if "running" in name])
        results.append((estimate[:, :1700], gradients, statistics))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-3)

    norm, alone = FrameNorm(4).train(), torch.nn.BatchNorm2d(4).train()
    x, valid = noise(2, 4, 5, 3), torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    frames = torch.cat([x[0], x[1, :, :2]], dim=1)[None]
    expected = alone(frames)
    found = norm(x, valid)
    torch.testing.assert_close(torch.cat([found[0], found[1, :, :2]], dim=1)[None], expected)
    torch.testing.assert_close(norm.running_var, alone.running_var)
    assert found[1, :, 2:].eq(0).all()


def test_frozen_norms_keep_their_statistics_and_every_parameter_moves():
    model, evaluated = build(freeze_batch_norm=True).train(), build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    waveform, lengths = noise(3, 3000), torch.tensor([3000, 1200, 2999])
    torch.testing.assert_close(model(waveform, lengths), evaluated(waveform, lengths))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    (model(waveform, lengths) - 0.5 * waveform).square().sum().backward()
    optimizer.step()
    after = model.state_dict()
    parameters = {name for name, _ in model.named_parameters()}
    # Each of them but single entries that no gradient reaches, such as taps on the zeros beside the spectrum.
    assert [name for name in parameters if torch.equal(before[name], after[name])] == []
    assert all(torch.equal(before[name], after[name]) for name in before.keys() - parameters)
    thawed = build().train()
    thawed(waveform, lengths)
    assert not torch.equal(thawed.network.down[0].norm.running_mean, evaluated.network.down[0].norm.running_mean)


@pytest.mark.parametrize("sizes", [(1, 300, 77), (256,), (5000, 2000), (10_000,)])
@pytest.mark.parametrize("n_samples", [7321, 4096])
def test_the_pieces_are_the_whole(sizes, n_samples):
    model, waveform = build(), noise(n_samples)
    with torch.inference_mode():
        whole = model(waveform[None])[0]
    torch.testing.assert_close(in_pieces(GTCRNStream(model), waveform, sizes), whole, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("n_samples", [1, 255, 256, 257, 258, 511, 512, 513, 768, 769])
@pytest.mark.parametrize("size", [100, 256, 1000])
def test_streams_of_short_and_odd_lengths(n_samples, size):
    model, waveform = build(), noise(n_samples)
    with torch.inference_mode():
        whole = model(waveform[None])[0]
    torch.testing.assert_close(in_pieces(GTCRNStream(model), waveform, (size,)), whole, atol=1e-6, rtol=1e-4)
    assert len(GTCRNStream(model).finish()) == 0


def front_end():
    separator = GTCRNSeparator(1)
    separator.gtcrn = build()
    return LengthAwareEnhancementModel.from_stock(
        ESPnetEnhancementModel(NullEncoder(), separator, NullDecoder(), None, None)
    )


def test_the_delay_is_what_a_sample_looks_ahead(monkeypatch):
    model = front_end()
    assert algorithmic_latency(model) == model.separator.gtcrn.algorithmic_latency == 511
    monkeypatch.delattr(GTCRNSeparator, "algorithmic_latency")
    assert algorithmic_latency(model, samples=4000) == 511
    stream, given = GTCRNStream(build()), 0
    for k, sample in enumerate(noise(3000).split(1)):
        given += len(stream.feed(sample))
        assert given >= k - stream.algorithmic_latency
        assert given <= k + 1


def test_silence_has_gradients():
    model = build().train()
    silence = torch.zeros(2, 1000, requires_grad=True)
    enhanced = model(silence, torch.tensor([1000, 1]))
    assert enhanced.eq(0).all()
    enhanced.sum().backward()
    assert silence.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(("waveform", "lengths", "message"), WRONG_INPUT)
def test_wrong_input(waveform, lengths, message):
    with pytest.raises(ValueError, match=message):
        build()(waveform, lengths)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 129}, "encoder: same"),
        ({"num_spk": 2}, "num_spk: 2"),
        ({"channels": 4}, "unknown key channels; accepted keys are freeze_batch_norm"),
        ({"freeze_batch_norm": "yes"}, "freeze_batch_norm: 'yes'"),
    ],
)
def test_what_the_separator_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        GTCRNSeparator(**{"input_dim": 1, **arguments})


def test_fine_tuned_in_the_joint_model(make_upstream, batch, tmp_path):
    settings = joint_settings({"model": "local", "checkpoint": str(make_upstream())}, criterion="ssl_mse")
    modules = {"encoder": "same", "separator": "gtcrn", "decoder": "same"}
    settings |= {f"enh_{name}": value for name, value in modules.items()}
    settings |= {"enh_encoder_conf": {}, "enh_decoder_conf": {}, "enh_separator_conf": {"freeze_batch_norm": True}}
    model, data = build_settings(settings, tmp_path).train(), joint_batch(*batch)
    before = {name: value.clone() for name, value in model.enh_model.named_buffers()}
    loss, stats, _ = model(**data)
    loss.backward()
    assert {"ssl_mse", "loss_asr"} <= set(stats)
    for name, parameter in model.enh_model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.ne(0).any(), name
    assert all(torch.equal(value, before[name]) for name, value in model.enh_model.named_buffers())
    (together,), *_ = model.enh_model.forward_enhance(data["speech"], data["speech_lengths"], {})
    n = int(data["speech_lengths"][2])
    (alone,), *_ = model.enh_model.forward_enhance(data["speech"][2:, :n], data["speech_lengths"][2:], {})
    torch.testing.assert_close(together[2, :n], alone[0], atol=1e-6, rtol=1e-4)


def test_half_a_second_is_known_without_the_rest():
    """Causal: what comes later changes nothing but the last window."""
    model, waveform = build(torch.float64), noise(1, 8000, dtype=torch.float64)
    other = waveform.clone()
    other[:, 4096:] = noise(1, 3904, seed=5, dtype=torch.float64)
    found, changed = model(waveform), model(other)
    assert math.isclose(float((found - changed)[:, : 4096 - 511].detach().abs().max()), 0, abs_tol=1e-12)
    assert (found - changed)[:, 4096:].abs().max() > 1e-3
