import json

import pytest
import torch
from torch.nn.functional import layer_norm

from espnet_plugins.ssl import build_upstream

transformers = pytest.importorskip("transformers", reason="Hugging Face directories need transformers")

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}


@pytest.fixture
def save(tmp_path):
    def write(family, **options):
        torch.manual_seed(0)
        config = getattr(transformers, f"{family}Config")(**options)
        model = getattr(transformers, f"{family}Model")(config).eval()
        model.save_pretrained(tmp_path)
        return model

    return write


def hidden_states(model, waveform):
    with torch.no_grad():
        output = model(waveform, output_hidden_states=True)
    # Some versions of transformers list the last state without the final norm of the Large models.
    return torch.stack([*output.hidden_states[:-1], output.last_hidden_state])


@pytest.mark.parametrize("family", ["Hubert", "WavLM", "Wav2Vec2"])
@pytest.mark.parametrize("size", [{}, LARGE], ids=["base", "large"])
def test_hidden_states_have_the_same_numbers(family, size, save, tmp_path, batch):
    model = save(family, **SMALL, **size)
    upstream = build_upstream("huggingface", checkpoint=tmp_path, layers="all")
    waveform = batch[0][:1]
    frames, _ = upstream(waveform)
    normalized = layer_norm(waveform, waveform.shape) if size else waveform
    torch.testing.assert_close(frames, hidden_states(model, normalized), rtol=0, atol=1e-5)


def test_real_configuration(save, tmp_path, batch):
    model = save("Hubert")
    upstream = build_upstream("huggingface", checkpoint=tmp_path, layers="all")
    assert (upstream.feature_dim, upstream.n_layers, upstream.hop_length, upstream.receptive_field) == (
        768,
        12,
        320,
        400,
    )
    waveform = batch[0][:1, :8000]
    with torch.no_grad():
        frames, _ = upstream(waveform)
    torch.testing.assert_close(frames, hidden_states(model, waveform), rtol=0, atol=1e-4)


def test_sample_rate_is_the_preprocessors(save, tmp_path):
    save("Hubert", **SMALL)
    assert build_upstream("huggingface", checkpoint=tmp_path).sample_rate == 16000
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 8000}))
    assert build_upstream("huggingface", checkpoint=tmp_path).sample_rate == 8000


def test_what_torchaudio_has_not_built_in_runs_as_transformers_has_it(save, tmp_path, batch):
    model = save("WavLM", **SMALL, layer_norm_eps=0.1)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 16000, "do_normalize": False}))
    waveform = batch[0][:1]
    frames, _ = build_upstream("huggingface", checkpoint=tmp_path, layers="all")(waveform)
    torch.testing.assert_close(frames, hidden_states(model, waveform), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda weights: weights.pop("encoder.layers.1.attention.k_proj.weight"), r"missing .*layers\.1\.attention"),
        (lambda weights: weights.update({"encoder.layers.9.x": torch.zeros(1)}), r"unexpected encoder\.layers\.9\.x"),
        (lambda weights: weights["encoder.layer_norm.bias"].fill_(torch.nan), r"not finite encoder\.layer_norm\.bias"),
    ],
)
def test_tensors_that_do_not_fit_are_named(save, tmp_path, edit, message):
    from safetensors.torch import load_file, save_file

    save("Hubert", **SMALL)
    weights = load_file(tmp_path / "model.safetensors")
    edit(weights)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"does not fit its config\.json: {message}"):
        build_upstream("huggingface", checkpoint=tmp_path)(torch.zeros(1, 800))
