"""Small Whisper encoders with random weights, in every kind of file that there is of them."""

import json
import struct

import torch

from espnet_plugins.ssl.whisper.catalogue import Dimensions
from espnet_plugins.ssl.whisper.encoder import WhisperEncoder

TINY = Dimensions(mels=80, context=1500, width=32, heads=4, layers=3, inner=128)
_TYPES = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.int32: 3, torch.float16: 4}


def tiny_encoder(sizes=TINY, *, seed=0):
    """A random encoder; its norms and biases are random, too, so that none can be left out unseen."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = WhisperEncoder(sizes)
        for weight in encoder.parameters():
            if weight.ndim == 1:
                torch.nn.init.normal_(weight, mean=0.5, std=0.3)
    return encoder.eval().requires_grad_(False)


def openai_content(weights, sizes=TINY):
    """What a file of OpenAI holds; a decoder's tensor is among it."""
    dims = {
        "n_mels": sizes.mels,
        "n_audio_ctx": sizes.context,
        "n_audio_state": sizes.width,
        "n_audio_head": sizes.heads,
        "n_audio_layer": sizes.layers,
        "n_vocab": 100,
    }
    state = {f"encoder.{name}": value for name, value in weights.items()}
    return {"dims": dims, "model_state_dict": {**state, "decoder.ln.weight": torch.ones(3)}}


def write_openai(path, weights, sizes=TINY):
    """Write OpenAI's .pt."""
    torch.save(openai_content(weights, sizes), path)
    return path


def write_huggingface(folder, weights, sizes=TINY, *, prefix="model.", **config):
    """Write a Hugging Face directory."""
    names = {
        "positional_embedding": "embed_positions.weight",
        "ln_post": "layer_norm",
        "blocks": "layers",
        "attn.query": "self_attn.q_proj",
        "attn.key": "self_attn.k_proj",
        "attn.value": "self_attn.v_proj",
        "attn.out": "self_attn.out_proj",
        "attn_ln": "self_attn_layer_norm",
        "mlp_ln": "final_layer_norm",
        "mlp.0": "fc1",
        "mlp.2": "fc2",
    }
    settings = {
        "model_type": "whisper",
        "num_mel_bins": sizes.mels,
        "max_source_positions": sizes.context,
        "d_model": sizes.width,
        "encoder_attention_heads": sizes.heads,
        "encoder_layers": sizes.layers,
        "encoder_ffn_dim": sizes.inner,
        **config,
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    state = {f"{prefix}decoder.layer_norm.weight": torch.ones(3)}
    for name, value in weights.items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        state[f"{prefix}encoder.{name}"] = value
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def write_ctranslate2(path, weights, sizes=TINY, *, kind="WhisperSpec", version=6, key_bias=0.0):
    """Write CTranslate2's model.bin."""
    tensors = {
        "decoder/layer_norm/gamma": torch.ones(3),
        "encoder/num_heads": torch.tensor(sizes.heads, dtype=torch.int16),
        "encoder/position_encodings/encodings": weights["positional_embedding"],
        "encoder/layer_norm/gamma": weights["ln_post.weight"],
        "encoder/layer_norm/beta": weights["ln_post.bias"],
    }
    for conv in ("conv1", "conv2"):
        tensors |= {f"encoder/{conv}/{part}": weights[f"{conv}.{part}"] for part in ("weight", "bias")}
    for layer in range(sizes.layers):
        ours, theirs = f"blocks.{layer}", f"encoder/layer_{layer}"
        for norm, name in (("attn_ln", "self_attention"), ("mlp_ln", "ffn")):
            tensors[f"{theirs}/{name}/layer_norm/gamma"] = weights[f"{ours}.{norm}.weight"]
            tensors[f"{theirs}/{name}/layer_norm/beta"] = weights[f"{ours}.{norm}.bias"]
        for part in ("weight", "bias"):
            tensors[f"{theirs}/self_attention/linear_0/{part}"] = torch.cat(
                [
                    weights.get(f"{ours}.attn.{name}.{part}", torch.full((sizes.width,), key_bias))
                    for name in ("query", "key", "value")
                ]
            )
            tensors[f"{theirs}/self_attention/linear_1/{part}"] = weights[f"{ours}.attn.out.{part}"]
            tensors[f"{theirs}/ffn/linear_0/{part}"] = weights[f"{ours}.mlp.0.{part}"]
            tensors[f"{theirs}/ffn/linear_1/{part}"] = weights[f"{ours}.mlp.2.{part}"]
    with path.open("wb") as file:
        file.write(struct.pack("<I", version) + _name(kind) + struct.pack("<II", 3, len(tensors)))
        for name, value in sorted(tensors.items()):
            data = value.contiguous().numpy().tobytes()
            file.write(_name(name) + struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape))
            file.write(struct.pack("<BI", _TYPES[value.dtype], len(data)) + data)
        file.write(struct.pack("<I", 0))
    return path


def _name(text):
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
