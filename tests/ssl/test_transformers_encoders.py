"""Speech encoders that run as transformers has them, held to transformers' own forward pass."""

import json
import shutil

import numpy as np
import pytest
import torch

from espnet_plugins.ssl import build_upstream, get_shared_upstream, share_passes
from espnet_plugins.ssl.kaldi_features import Filterbank

WAVEFORM = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000, "do_normalize": True}
FEATURES = {"feature_extractor_type": "SeamlessM4TFeatureExtractor", "sampling_rate": 16000, "num_mel_bins": 80}
BLOCKS = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
CONVOLVED = {**BLOCKS, "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
STABLE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
SQUEEZED = {"conv_dim": (16,) * 7, "conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}
# name -> class of the model, its options, its feature extractor
KINDS = {
    "data2vec": ("Data2VecAudio", {**CONVOLVED, "num_conv_pos_embeddings": 5, "conv_pos_kernel_size": 5}, WAVEFORM),
    "sew": ("SEW", {**CONVOLVED, **SQUEEZED, "squeeze_factor": 2}, {**WAVEFORM, "do_normalize": False}),
    "sew_d": ("SEWD", {**CONVOLVED, **SQUEEZED, "squeeze_factor": 2}, WAVEFORM),
    "unispeech": ("UniSpeech", CONVOLVED, WAVEFORM),
    "unispeech_sat_large": ("UniSpeechSat", {**CONVOLVED, **STABLE}, WAVEFORM),
    "conformer_relative": ("Wav2Vec2Conformer", CONVOLVED, WAVEFORM),
    "conformer_rotary": ("Wav2Vec2Conformer", {**CONVOLVED, "position_embeddings_type": "rotary"}, WAVEFORM),
    "w2v_bert": ("Wav2Vec2Bert", BLOCKS, FEATURES),
    "hubert_batch_norm": ("Hubert", {**CONVOLVED, "conv_pos_batch_norm": True}, WAVEFORM),
    "wav2vec2_adapters": ("Wav2Vec2", {**CONVOLVED, **STABLE, "adapter_attn_dim": 8}, WAVEFORM),
}


def save(kind, folder):
    transformers = pytest.importorskip("transformers", reason="builds models of transformers")
    family, options, extractor = KINDS[kind]
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}Model")(getattr(transformers, f"{family}Config")(**options)).eval()
    for name, weight in model.named_parameters():
        if weight.ndim == 1:  # norms and biases, too, must matter
            torch.nn.init.normal_(weight, mean=float("norm" in name and "weight" in name), std=0.2)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Give a function: name of a kind -> its model and its directory."""
    made = {}

    def make(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp("models") / f"a {kind}"
            made[kind] = save(kind, folder), folder
        return made[kind]

    return make


def extracted(folder, waveform):
    from transformers import AutoFeatureExtractor

    extractor = AutoFeatureExtractor.from_pretrained(folder)
    return extractor(waveform.numpy(), sampling_rate=16000, return_tensors="pt")


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_are_those_of_transformers(kind, models, batch):
    model, folder = models(kind)
    upstream = build_upstream("huggingface", checkpoint=folder, layers="all")
    waveform = batch[0][0, :12345] + 0.05  # not of zero mean
    frames, lengths = upstream(waveform[None])
    given = extracted(folder, waveform)
    with torch.no_grad():
        output = model(**given, output_hidden_states=True)
    expected = list(output.hidden_states)
    if "sew" not in kind:  # transformers 5 lists the last one without its norm
        expected[-1] = output.last_hidden_state
    expected = torch.stack(expected)[:, :, : int(lengths)]
    if "attention_mask" in given:
        assert int(given["attention_mask"].sum()) == int(lengths)
    assert frames.shape == expected.shape == (4, 1, upstream.backbone.spec.frames_of(12345), 32)
    torch.testing.assert_close(frames, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_batch_is_each_utterance_alone(kind, models, batch):
    upstream = build_upstream("huggingface", checkpoint=models(kind)[1], layers="all")
    waveform, lengths = batch[0].clone().requires_grad_(), batch[1]
    lengths = torch.tensor([9000, 16000, 9000])
    waveform.data[0, 9000:] = torch.nan
    frames, counts = upstream(waveform, lengths)
    probe = torch.arange(32.0).sin()
    (gradient,) = torch.autograd.grad((frames * probe).sum(), waveform)
    for row, length in enumerate(lengths.tolist()):
        alone = waveform.detach()[row : row + 1, :length].requires_grad_()
        expected, _ = upstream(alone)
        (slope,) = torch.autograd.grad((expected * probe).sum(), alone)
        assert int(counts[row]) == expected.shape[2]
        torch.testing.assert_close(frames[:, row, : counts[row]], expected[:, 0], rtol=0, atol=1e-4)
        assert not frames[:, row, counts[row] :].any()
        scale = float(slope.abs().max())
        assert scale > 0
        torch.testing.assert_close(gradient[row, :length], slope[0], rtol=0, atol=1e-3 * scale)
        assert not gradient[row, length:].any()


def test_frozen_shared_and_drawing_nothing(models, batch):
    folder = models("data2vec")[1]
    upstream = get_shared_upstream("huggingface", checkpoint=folder, layers=1)
    owner = torch.nn.Sequential(upstream).train()
    assert not owner.state_dict()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with share_passes():
        first, _ = upstream(*batch)
        last, _ = get_shared_upstream("huggingface", checkpoint=folder)(*batch)
    assert torch.equal(torch.rand(1), expected)
    every, _ = upstream.all_layers(*batch)
    assert torch.equal(every[1], first)
    assert torch.equal(every[-1], last)
    assert not any(weight.requires_grad for weight in upstream.backbone.model(torch.device("cpu")).parameters())


@pytest.mark.parametrize("samples", [560, 16000, 16159])
def test_filterbank_is_that_of_torchaudio(samples):
    from torchaudio.compliance.kaldi import fbank

    waveform = 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    options = {"num_mel_bins": 80, "window_type": "povey", "dither": 0.0, "high_freq": 8000.0}
    for row, features in enumerate(Filterbank(80)(waveform)):
        bands = fbank(2.0**15 * waveform[row : row + 1], **options).double()
        expected = (bands - bands.mean(0)) / (bands.var(0) + 1e-7).sqrt()
        expected = expected[: len(bands) // 2 * 2].reshape(-1, 160).float()
        torch.testing.assert_close(features, expected, rtol=0, atol=1e-3)


def test_filterbank_has_the_slope_for_a_gradient():
    generator = torch.Generator().manual_seed(0)
    waveform = torch.randn(1, 900, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Filterbank(8).double(), waveform, fast_mode=True)
    silence = torch.zeros(1, 900, requires_grad=True)
    Filterbank(80)(silence).square().sum().backward()
    assert silence.grad.isfinite().all()


def settings(folder, name, **changes):
    content = json.loads((folder / name).read_text())
    content = {key: value for key, value in {**content, **changes}.items() if value is not None}
    (folder / name).write_text(json.dumps(content))


def config(**changes):
    return lambda folder: settings(folder, "config.json", **changes)


def extractor(**changes):
    return lambda folder: settings(folder, "preprocessor_config.json", **changes)


def weights(edit):
    def change(folder):
        from safetensors.torch import load_file, save_file

        content = load_file(folder / "model.safetensors")
        edit(content)
        save_file(content, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (
            lambda x: settings(x, "config.json", model_type="bert"),
            ValueError,
            r"BertModel, which takes input_ids\) is no",
        ),
        (
            lambda x: settings(x, "config.json", model_type="audio-spectrogram-transformer"),
            ValueError,
            "no speech encoder",
        ),
        (config(model_type="newest"), ValueError, "'newest' is none that the installed"),
        (config(model_type=None), ValueError, "model_type None is none"),
        (
            lambda x: settings(x, "config.json", model_type="speech-encoder-decoder"),
            ValueError,
            "cannot be taken|itself",
        ),
        (config(hidden_act=3), ValueError, r"cannot be|fails on"),
        (config(add_adapter=True), ValueError, "add_adapter is True; accepted is False"),
        (config(num_hidden_layers=4), ValueError, r"missing encoder\.layers\.3"),
        (config(intermediate_size=65), ValueError, "misshapen encoder"),
        (lambda x: (x / "config.json").write_text("{"), ValueError, r"config\.json is damaged"),
        (lambda x: (x / "preprocessor_config.json").unlink(), FileNotFoundError, r"no preprocessor_config\.json"),
        (lambda x: (x / "preprocessor_config.json").write_text("[]"), ValueError, "is damaged"),
        (extractor(do_normalize=None), ValueError, "do_normalize is None"),
        (extractor(sampling_rate="16k"), ValueError, "sampling_rate is '16k'"),
        (
            lambda x: settings(x, "preprocessor_config.json", feature_size=2),
            ValueError,
            "feature_size is 2; accepted is 1",
        ),
        (
            lambda x: settings(x, "preprocessor_config.json", **FEATURES),
            ValueError,
            "SeamlessM4TFeatureExtractor'; accepted",
        ),
        (lambda x: (x / "model.safetensors").unlink(), FileNotFoundError, "has no weights"),
        (cut, ValueError, "its weights cannot be read"),
        (weights(lambda w: w.pop("encoder.layer_norm.bias")), ValueError, "missing encoder"),
        (
            weights(lambda w: w.update({"encoder.y": torch.ones(1)})),
            ValueError,
            "unexpected encoder",
        ),
        (
            weights(lambda w: w["encoder.layer_norm.bias"].fill_(torch.nan)),
            ValueError,
            "not finite",
        ),
    ],
)
def test_what_cannot_be_honored_is_one_line(models, tmp_path, edit, error, message):
    folder = tmp_path / "a model"
    shutil.copytree(models("data2vec")[1], folder)
    edit(folder)
    with pytest.raises(error, match=message) as raised:
        build_upstream("huggingface", checkpoint=folder)(torch.zeros(1, 800))
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_features_of_another_kind_are_refused(models, tmp_path):
    folder = tmp_path / "a model"
    shutil.copytree(models("w2v_bert")[1], folder)
    settings(folder, "preprocessor_config.json", num_mel_bins=40)
    with pytest.raises(ValueError, match="input_dim is 160, but two frames of 40 bands are 80"):
        build_upstream("huggingface", checkpoint=folder)
    settings(folder, "preprocessor_config.json", num_mel_bins=80, stride=3)
    with pytest.raises(ValueError, match="stride is 3; accepted is 2"):
        build_upstream("huggingface", checkpoint=folder)


def test_a_model_that_does_not_keep_its_configurations_promise(models, tmp_path, monkeypatch):
    from espnet_plugins.ssl import transformers_model

    folder = models("data2vec")[1]
    upstream = build_upstream("huggingface", checkpoint=folder)
    whole = transformers_model.TransformersModel.extract
    monkeypatch.setattr(transformers_model.TransformersModel, "extract", lambda *args: whole(*args)[:, 1:])
    with pytest.raises(ValueError, match=r"samples give .* promises"):
        upstream(torch.zeros(1, 800))


def test_quiet_waveforms_are_normalized_as_transformers_does(models, batch):
    model, folder = models("unispeech")
    quiet = 1e-2 * batch[0][0]
    given = extracted(folder, quiet)
    with torch.no_grad():
        expected = model(**given).last_hidden_state
    frames, _ = build_upstream("huggingface", checkpoint=folder)(quiet[None])
    torch.testing.assert_close(frames, expected, rtol=0, atol=1e-4)
    assert np.isclose(given["input_values"].std(), 1, atol=0.1)
