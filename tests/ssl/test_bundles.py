import dataclasses
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
import torchaudio
from tiny_architectures import TINY

from espnet_plugins.ssl import bundles as module
from espnet_plugins.ssl import describe_upstream
from espnet_plugins.ssl.bundles import bundle_file, bundles, load_bundle


@pytest.fixture
def tiny_bundle():
    return dataclasses.replace(
        torchaudio.pipelines.HUBERT_BASE, _path="tiny.pth", _params={**TINY, "aux_num_out": None}
    )


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return torchaudio.models.wav2vec2_model(**TINY, aux_num_out=None).state_dict()


@pytest.fixture
def site(tmp_path, weights, monkeypatch):
    """A web server that offers tiny.pth; gives the list of requests."""
    offered = tmp_path / "site"
    offered.mkdir()
    torch.save(weights, offered / "tiny.pth")
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(offered))

        def log_message(self, *args):
            requests.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(module, "_SITE", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_model_of_the_method_is_there():
    wanted = {"hubert_base", "hubert_large", "wavlm_base", "wavlm_base_plus", "wavlm_large", "wav2vec2_base"}
    assert wanted <= set(bundles())
    assert not any("asr" in name for name in bundles())


@pytest.mark.parametrize("name", sorted(bundles()))
def test_waveforms_are_normalized_as_each_model_was_trained(name):
    spec = describe_upstream(name, pretrained=False)
    layer_norm = bundles()[name]._params["extractor_mode"] == "layer_norm"
    assert spec.normalize_waveform == layer_norm
    assert spec.sample_rate == 16000
    assert spec.hop_length == 320


def test_local_file_needs_no_network(tmp_path, tiny_bundle, weights):
    torch.save(weights, tmp_path / "mine.pth")
    model = load_bundle(tiny_bundle, bundle_file(tiny_bundle, tmp_path / "mine.pth"))
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_downloaded_once_and_verified(tmp_path, tiny_bundle, site):
    path = bundle_file(tiny_bundle, tmp_path)
    assert path == tmp_path / "tiny.pth"
    load_bundle(tiny_bundle, path)
    load_bundle(tiny_bundle, path)
    assert len(site) == 1
    assert (tmp_path / "tiny.pth.sha256").read_text().split()[0] == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"tiny\.pth is damaged"):
        load_bundle(tiny_bundle, path)


def test_file_of_another_digest_is_not_kept(tmp_path, tiny_bundle, site, monkeypatch):
    monkeypatch.setitem(module.KNOWN_SHA256, "tiny.pth", "0" * 64)
    with pytest.raises(RuntimeError, match=r"cannot download .*tiny\.pth.*`checkpoint`"):
        load_bundle(tiny_bundle, tmp_path / "tiny.pth")
    assert not list(tmp_path.glob("*tiny.pth"))
    assert not list(tmp_path.glob(".*tmp*"))


def test_no_network(tmp_path, tiny_bundle, monkeypatch):
    monkeypatch.setattr(module, "_SITE", "http://127.0.0.1:9/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(RuntimeError, match="give the file as `checkpoint`"):
        load_bundle(tiny_bundle, tmp_path / "tiny.pth")


def test_weights_of_another_model(tmp_path, tiny_bundle):
    torch.save({"a": torch.zeros(1)}, tmp_path / "tiny.pth")
    with pytest.raises(ValueError, match="does not fit"):
        load_bundle(tiny_bundle, tmp_path / "tiny.pth")


def test_torch_hubs_cache_is_the_default(tmp_path, tiny_bundle, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert bundle_file(tiny_bundle, None) == tmp_path / "hub" / "checkpoints" / "tiny.pth"
