"""Demucs: the published sizes, every utterance of a padded batch as if alone, what it refuses."""

import math

import pytest
import torch
from demucs_cases import CONFIGURATIONS, build, noise, published_shapes
from enhancer_checks import WRONG_INPUT, check_batch_as_if_alone

from espnet_plugins.enh.demucs import Demucs
from espnet_plugins.enh.sinc import double_rate, half_sample_kernel, halve_rate

every_configuration = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS)


@pytest.fixture(scope="module")
def master64():
    return Demucs(hidden=64)


def test_master64_has_the_published_parameters(master64):
    shapes = {name: tuple(value.shape) for name, value in master64.state_dict().items()}
    assert shapes == published_shapes(64)
    assert len(shapes) == 48
    assert sum(math.prod(shape) for shape in shapes.values()) == 33_533_569
    assert shapes["lstm.lstm.weight_ih_l0"] == (4096, 1024)


def test_both_directions_add_the_published_parameters():
    model = Demucs(hidden=64, causal=False, stride=2, resample=2)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    added = shapes.keys() - published_shapes(64).keys()
    backward = {f"{name}_reverse" for name in published_shapes(64) if name.startswith("lstm.")}
    assert added == backward | {"lstm.linear.weight", "lstm.linear.bias"}
    assert shapes["lstm.linear.weight"] == (1024, 2048)


def test_published_lengths(master64):
    valid = {n: master64.valid_length(n) for n in (1, 400, 16000, 32000, 64000, 160000)}
    assert valid == {1: 597, 400: 597, 16000: 16213, 32000: 32085, 64000: 64085, 160000: 160085}
    assert {n % 256 for n in valid.values()} == {597 % 256}
    assert all(master64.valid_length(n) == n for n in valid.values())
    assert master64.hop_length == 256


def test_published_kernel():
    kernel = half_sample_kernel().double()
    t = [math.pi * (m - 55.5) for m in range(112)]
    expected = torch.tensor(
        [math.sin(t[m]) / t[m] * (0.5 - 0.5 * math.cos(2 * math.pi * (2 * m + 1) / 224)) for m in range(112)]
    )
    torch.testing.assert_close(kernel, expected.double(), atol=1e-7, rtol=0)
    torch.testing.assert_close(kernel, kernel.flip(0), atol=1e-7, rtol=0)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-3)
    assert [round(value, 4) for value in kernel[55:57].tolist()] == [0.6365, 0.6365]


def test_resampling_follows_a_tone():
    rate, n = 16000, 4000
    kernel = half_sample_kernel()

    def tone(rate, n):
        return torch.sin(2 * math.pi * 1000 / rate * torch.arange(n, dtype=torch.float64)).float()

    twice = double_rate(tone(rate, n), kernel)
    assert torch.equal(twice[::2], tone(rate, n))
    torch.testing.assert_close(twice[200:-200], tone(2 * rate, 2 * n)[200:-200], atol=1e-3, rtol=0)
    torch.testing.assert_close(halve_rate(twice, kernel)[200:-200], tone(rate, n)[200:-200], atol=1e-3, rtol=0)


@every_configuration
def test_each_utterance_of_a_batch_as_if_alone(options):
    model, waveform = build(options, dtype=torch.float64), noise(4, 1700, dtype=torch.float64)
    lengths = torch.tensor([1700, 1, 900, 1699])
    check_batch_as_if_alone(
        model, waveform, lengths, values={"atol": 1e-12, "rtol": 1e-9}, gradients={"atol": 1e-10, "rtol": 1e-8}
    )


@pytest.mark.parametrize("causal", [True, False])
def test_gradients_are_right(causal):
    model = build({"hidden": 2, "depth": 2, "causal": causal, "floor": 0.1}, dtype=torch.float64)
    waveform = noise(2, 40, dtype=torch.float64).requires_grad_()
    lengths = torch.tensor([40, 23])
    assert torch.autograd.gradcheck(lambda x: model(x, lengths), [waveform], fast_mode=True)


def test_the_level_goes_through(master64):
    waveform = noise(1, 4000)
    loud, quiet = master64(100 * waveform), master64(10 * waveform)
    # Exact but for the floor under the deviation.
    torch.testing.assert_close(loud, 10 * quiet, atol=1e-2, rtol=1e-2)
    louder = Demucs(hidden=4)(waveform + 1.0)
    assert not torch.allclose(louder, Demucs(hidden=4)(waveform))


def test_silence_stays_silence(master64):
    silence = torch.zeros(2, 1000, requires_grad=True)
    enhanced = master64(silence, torch.tensor([1000, 1]))
    assert enhanced.eq(0).all()
    enhanced.sum().backward()
    assert silence.grad.isfinite().all()


def test_several_channels():
    model = build({"chin": 2, "chout": 3})
    waveform = noise(2, 2, 1500)
    assert model(waveform).shape == (2, 3, 1500)
    alone = model(waveform[1:, :, :900])
    torch.testing.assert_close(model(waveform, torch.tensor([1500, 900]))[1:, :, :900], alone)


def test_half_precision_on_the_cpu():
    model = build({}, dtype=torch.bfloat16)
    assert model(noise(1, 1000, dtype=torch.bfloat16)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resample": 3}, "resample: 3"),
        ({"hidden": 0}, "hidden: 0"),
        ({"depth": 2.5}, "depth: 2.5"),
        ({"stride": True}, "stride: True"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Demucs(**options)


@pytest.mark.parametrize(
    ("waveform", "lengths", "message"),
    [
        *WRONG_INPUT,
        (torch.zeros(2, 3, 100), None, r"shape \(2, 3, 100\); give \(B, T\)"),
    ],
)
def test_wrong_input(waveform, lengths, message):
    with pytest.raises(ValueError, match=message):
        build({})(waveform, lengths)
