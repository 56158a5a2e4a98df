"""The same output as the authors' code, which gets the same weights.

Their file gtcrn.py (github.com/Xiaobin-Rong/gtcrn) is no dependency: the folder that holds it is named by the
environment variable GTCRN_CODE.
"""

import importlib.util
import os
from pathlib import Path

import pytest
import soundfile
import torch
from gtcrn_cases import to_authors_layout
from places import SHARED

from espnet_plugins.enh.gtcrn import GTCRN
from espnet_plugins.inference.published import PUBLISHED
from espnet_plugins.weights import read_weights

CODE = Path(os.environ.get("GTCRN_CODE", "")) / "gtcrn.py"
pytestmark = [
    pytest.mark.skipif(not CODE.is_file(), reason="needs gtcrn.py of Xiaobin-Rong/gtcrn, its folder in GTCRN_CODE"),
    pytest.mark.skipif(not importlib.util.find_spec("einops"), reason="the authors' code needs einops"),
]


@pytest.fixture(scope="module")
def peer():
    spec = importlib.util.spec_from_file_location("gtcrn_peer", CODE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.GTCRN().eval()


def theirs(network, waveform):
    window = torch.hann_window(512).pow(0.5)
    spectrum = torch.stft(waveform, 512, 256, 512, window, return_complex=True)
    enhanced = network(torch.view_as_real(spectrum)[None])[0]
    return torch.istft(torch.view_as_complex(enhanced.contiguous()), 512, 256, 512, window)


@torch.inference_mode()
def difference(ours, network, waveform):
    expected = theirs(network, waveform)
    return float((ours(waveform[None])[0, : len(expected)] - expected).abs().max())


def test_random_weights(peer):
    torch.manual_seed(0)
    ours = GTCRN().train()
    # Statistics that matter.
    ours(0.3 * torch.randn(4, 8000))
    peer.load_state_dict(to_authors_layout(ours.eval().state_dict()))
    generator = torch.Generator().manual_seed(1)
    for n_samples in (257, 512, 1000, 16001, 40000):
        assert difference(ours, peer, 0.1 * torch.randn(n_samples, generator=generator)) < 1e-5


@pytest.mark.parametrize("name", ["gtcrn_dns3", "gtcrn_vctk"])
def test_published_weights_on_real_recordings(peer, name):
    file = SHARED / "gtcrn" / PUBLISHED[name].file
    recordings = sorted((SHARED / "librispeech").rglob("*.flac"))[:2]
    if not file.is_file() or not recordings:
        pytest.skip("the published weights or real recordings are not at hand")
    weights = read_weights(file)
    peer.load_state_dict(weights)
    ours = GTCRN().eval()
    ours.load_state_dict(PUBLISHED[name].family.convert(weights, where=name))
    for path in recordings:
        speech = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        noisy = speech + 0.02 * torch.randn(len(speech), generator=torch.Generator().manual_seed(0))
        assert difference(ours, peer, noisy) < 1e-4
