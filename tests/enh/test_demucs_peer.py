"""The same output as the `denoiser` package, whose Demucs gets the same weights.

The package is no dependency; `uv pip install --no-deps denoiser` is enough, since its network needs torch alone.
"""

import pytest
import torch
from demucs_cases import CONFIGURATIONS, build, noise

from espnet_plugins.enh.demucs import Demucs

peer = pytest.importorskip("denoiser.demucs", reason="needs the package denoiser (uv pip install --no-deps denoiser)")

LENGTHS = (2, 3, 255, 256, 400, 597, 598, 4095, 16000, 16001)


def pair(options):
    theirs = build(options, cls=peer.Demucs)
    ours = build(options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def difference(ours, theirs, waveform):
    with torch.inference_mode():
        expected = theirs(waveform)
        found = ours(waveform)
    expected = expected[:, 0] if found.dim() == 2 else expected
    assert found.shape == expected.shape
    # Relative to the output's largest sample, which with small random weights is far below 1.
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_single_and_batch(options):
    ours, theirs = pair(options)
    assert [ours.valid_length(n) for n in range(1, 3000)] == [theirs.valid_length(n) for n in range(1, 3000)]
    assert max(difference(ours, theirs, noise(1, n)) for n in LENGTHS) < 1e-5
    assert difference(ours, theirs, noise(3, 5000)) < 1e-5


@pytest.mark.parametrize("options", [{}, {"causal": False, "stride": 2, "resample": 2}], ids=["causal", "valentini_nc"])
def test_long_utterances(options):
    ours, theirs = pair(options)
    assert max(difference(ours, theirs, noise(1, n)) for n in (64000, 199_999, 200_000)) < 1e-5


def test_one_sample():
    ours, theirs = pair({"normalize": False})
    assert difference(ours, theirs, noise(1, 1)) < 1e-5
    # The deviation of one sample is not a number there, and zero here.
    ours, theirs = pair({})
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert theirs(noise(1, 1)).isnan().all()
    assert ours(noise(1, 1)).eq(0).all()


def test_the_size_of_master64():
    ours, theirs = pair({"hidden": 64})
    assert max(difference(ours, theirs, noise(b, n)) for b, n in ((1, 400), (1, 16000), (2, 9000))) < 1e-5


def test_a_padded_batch_is_theirs_one_by_one():
    ours, theirs = pair({})
    waveform, lengths = noise(3, 6000), torch.tensor([6000, 2500, 4100])
    with torch.inference_mode():
        together = ours(waveform, lengths)
        for k, n in enumerate(lengths.tolist()):
            torch.testing.assert_close(together[k, :n], theirs(waveform[k : k + 1, :n])[0, 0], atol=1e-5, rtol=0)


def test_several_channels():
    ours, theirs = pair({"chin": 2, "chout": 3})
    assert difference(ours, theirs, noise(2, 2, 3000)) < 1e-5


def test_the_same_initial_weights():
    torch.manual_seed(3)
    theirs = peer.Demucs(hidden=4, rescale=0.2).state_dict()
    torch.manual_seed(3)
    ours = Demucs(hidden=4, rescale=0.2).state_dict()
    assert theirs.keys() == ours.keys()
    spread = {name: (value.std() / ours[name].std()).item() for name, value in theirs.items() if "weight" in name}
    assert all(0.5 < ratio < 2 for ratio in spread.values()), spread
