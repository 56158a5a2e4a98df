"""A stream through a causal Demucs gives what the whole waveform gives, in pieces of any size, in time."""

import pytest
import torch
from demucs_cases import CONFIGURATIONS, build, noise
from enhancer_checks import in_pieces

from espnet_plugins.enh.demucs_stream import DemucsStream

STREAMED = ("causal", "no resampling", "ReLU", "as loud as it comes")


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize(
    ("sizes", "chunk_frames"), [((1, 300, 77), 1), ((130, 16, 800), 1), ((5000, 2000), 4), ((10_000,), 1)]
)
def test_the_pieces_are_the_whole(name, sizes, chunk_frames):
    model, waveform = build(CONFIGURATIONS[name]), noise(7321)
    stream = DemucsStream(model, std=waveform.std().item(), chunk_frames=chunk_frames)
    with torch.inference_mode():
        whole = model(waveform[None])[0]
    torch.testing.assert_close(in_pieces(stream, waveform, sizes), whole, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("n_samples", [1, 596, 597, 598, 853, 854, 1100])
def test_short_and_odd_lengths(n_samples):
    model, waveform = build({}), noise(n_samples)
    level = waveform.std().item() if n_samples > 1 else 0.0
    with torch.inference_mode():
        whole = model(waveform[None])[0]
    found = in_pieces(DemucsStream(model, std=level), waveform, (256,))
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=1e-4)


def test_the_delay_is_what_a_sample_looks_ahead():
    model = build({"normalize": False}, dtype=torch.float64)
    stream = DemucsStream(model)
    assert stream.algorithmic_latency == 597 + 2 * (56 + 28)
    waveform = noise(4000, dtype=torch.float64).requires_grad_()
    enhanced = model(waveform[None])[0]
    ahead = []
    for n in range(1500, 1500 + model.hop_length):
        (gradient,) = torch.autograd.grad(enhanced[n], waveform, retain_graph=True)
        ahead.append(int(gradient.abs().gt(1e-20).nonzero().max()) - n)
    assert stream.algorithmic_latency - model.hop_length < max(ahead) <= stream.algorithmic_latency
    given = 0
    for k in range(4000):
        given += len(stream.feed(waveform[k : k + 1].detach()))
        assert given >= k - stream.algorithmic_latency


def test_the_level_so_far_is_near_the_whole_one_after_a_while():
    model, waveform = build({}), noise(32000)
    found = in_pieces(DemucsStream(model), waveform, (1600,))
    with torch.inference_mode():
        whole = model(waveform[None])[0]
    assert found.shape == whole.shape
    error = (found - whole)[16000:].std() / whole[16000:].std()
    assert 0 < error < 0.05
    silent = DemucsStream(model)
    assert in_pieces(silent, torch.zeros(3000), (500,)).eq(0).all()


@pytest.mark.parametrize("options", [{"causal": False}, {"chin": 2}, {"depth": 1, "stride": 2}])
def test_models_that_cannot_stream(options):
    with pytest.raises(ValueError, match="demucs"):
        DemucsStream(build(options))
