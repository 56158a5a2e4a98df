"""Whisper's encoder out of the files that there are of it, under OpenAI's names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from espnet_plugins.ssl.whisper.catalogue import Dimensions
from espnet_plugins.ssl.whisper.ctranslate2 import ModelFile
from espnet_plugins.weights import why_unreadable

_ZIP = b"PK\x03\x04"
_CTRANSLATE2 = b"\x06\0\0\0"
_HUGGINGFACE_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# What the encoder here has built in.
_FIXED = {"activation_function": "gelu", "scale_embedding": False}
_NAMES_OF_HUGGINGFACE = {
    "embed_positions.weight": "positional_embedding",
    "layer_norm": "ln_post",
    "layers": "blocks",
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
_NAMES_OF_CTRANSLATE2 = {
    "position_encodings/encodings": "positional_embedding",
    "layer_norm": "ln_post",
    "self_attention/layer_norm": "attn_ln",
    "self_attention/linear_1": "attn.out",
    "ffn/layer_norm": "mlp_ln",
    "ffn/linear_0": "mlp.0",
    "ffn/linear_1": "mlp.2",
    "gamma": "weight",
    "beta": "bias",
}


@dataclass(frozen=True)
class Checkpoint:
    """A file or directory of Whisper.

    Args:
        path: of the file that holds the weights.
        dimensions: of the encoder.
        read: gives the encoder's weights under OpenAI's names.
    """

    path: Path
    dimensions: Dimensions
    read: Callable[[], dict[str, torch.Tensor]]


def is_model_directory(path: Path) -> bool:
    """Whether a folder is a model: of Hugging Face, or of CTranslate2."""
    return (path / "config.json").is_file() or (path / "model.bin").is_file()


def is_weight_file(path: Path) -> bool:
    """Whether a file is CTranslate2's, or holds what OpenAI's files hold."""
    with path.open("rb") as file:
        start = file.read(4)
    if start != _ZIP:
        return start == _CTRANSLATE2
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # whoever reads it says what is wrong
        return False
    return isinstance(content, Mapping) and {"dims", "model_state_dict"} <= set(content)


def open_checkpoint(path: Path) -> Checkpoint:
    """Find out what a file or folder of Whisper is; its weights stay on disk.

    Args:
        path: OpenAI's ``.pt``, CTranslate2's ``model.bin`` or its folder, or a Hugging Face directory.

    Returns:
        The checkpoint.

    Raises:
        FileNotFoundError: where there is nothing.
        ValueError: where it is no Whisper, damaged, or of a kind that the encoder here is not.
    """
    if path.is_dir():
        if (path / "model.bin").is_file():
            return _open_ctranslate2(path / "model.bin")
        if (path / "config.json").is_file():
            return _open_huggingface(path)
        raise FileNotFoundError(f"{path} holds neither model.bin nor config.json: it is no folder of a Whisper model")
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path}: no such file or folder")
    with path.open("rb") as file:
        start = file.read(4)
    if start == _ZIP:
        return _open_openai(path)
    if start[1:] == b"\0\0\0":
        return _open_ctranslate2(path)
    if start in (b"", b"vers") or start[:1] == b"<":
        raise ValueError(why_unreadable(path, ValueError("no weights")))
    raise ValueError(
        f"{path} is no weight file of Whisper: neither OpenAI's .pt nor CTranslate2's model.bin starts with "
        f"{start!r}; it may be damaged, or of another program"
    )


def _open_openai(path: Path) -> Checkpoint:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise ValueError(why_unreadable(path, error)) from error
    sizes = content.get("dims") if isinstance(content, Mapping) else None
    weights = content.get("model_state_dict") if isinstance(content, Mapping) else None
    if not isinstance(sizes, Mapping) or not isinstance(weights, Mapping):
        raise ValueError(f"{path} is no Whisper of OpenAI: it lacks dims and model_state_dict")
    keys = ("n_mels", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer")
    mels, context, width, heads, layers = _counts(path, sizes, keys)
    return Checkpoint(
        path,
        _checked(path, Dimensions(mels, context, width, heads, layers, 4 * width)),
        lambda: {
            name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")
        },
    )


def _open_huggingface(path: Path) -> Checkpoint:
    config = read_config(path)
    if config.get("model_type") != "whisper":
        raise ValueError(f"{path} is no Whisper: its config.json says model_type {config.get('model_type')!r}")
    for key, accepted in _FIXED.items():
        if config.get(key, accepted) != accepted:
            raise ValueError(f"{path}: {key} is {config[key]!r}; accepted is {accepted!r}")
    keys = ("num_mel_bins", "max_source_positions", "d_model", "encoder_attention_heads", "encoder_layers")
    sizes = _counts(path / "config.json", config, (*keys, "encoder_ffn_dim"))
    return Checkpoint(path, _checked(path, Dimensions(*sizes)), lambda: _read_huggingface(path))


def _read_huggingface(path: Path) -> dict[str, torch.Tensor]:
    weights = {}
    for file in _huggingface_files(path):
        try:
            if file.suffix == ".safetensors":
                from safetensors.torch import load_file

                content = load_file(file)
            else:
                content = torch.load(file, map_location="cpu", weights_only=True)
        except ImportError as error:
            raise ImportError(f"{file} needs safetensors: pip install safetensors") from error
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(why_unreadable(file, error)) from error
        if not isinstance(content, Mapping):
            raise ValueError(f"{file} holds no weights by name")
        for name, value in content.items():
            name = name.removeprefix("model.")
            if name.startswith("encoder."):
                weights[_renamed(name.removeprefix("encoder."), _NAMES_OF_HUGGINGFACE, ".")] = value
    return weights


def _huggingface_files(path: Path) -> list[Path]:
    for name in _HUGGINGFACE_WEIGHTS:
        if (path / name).is_file():
            return [path / name]
        index = path / f"{name}.index.json"
        if index.is_file():
            try:
                parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
                return [path / part for part in sorted(set(parts))]
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{index} is damaged: {error!r}") from error
    raise FileNotFoundError(f"{path} has no weights: neither {' nor '.join(_HUGGINGFACE_WEIGHTS)}")


def _open_ctranslate2(path: Path) -> Checkpoint:
    file = ModelFile(path)
    if file.kind != "WhisperSpec":
        raise ValueError(f"{path} is no Whisper: it holds a {file.kind}")
    names = [name for name in file.entries if name.startswith("encoder/")]
    for name in names:
        dtype = file.entries[name].dtype
        if name.endswith(("weight", "bias")) and not dtype.is_floating_point:
            raise ValueError(
                f"{path} is quantized ({name} is {dtype}); convert the model with float16 or float32 weights"
            )
    try:
        width, mels, _ = file.entries["encoder/conv1/weight"].shape
        context, _ = file.entries["encoder/position_encodings/encodings"].shape
        inner, _ = file.entries["encoder/layer_0/ffn/linear_0/weight"].shape
        heads = int(file.read(["encoder/num_heads"])["encoder/num_heads"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is no Whisper that can be read here: {error}") from error
    layers = len({name.split("/")[1] for name in names if name.startswith("encoder/layer_") and name.count("/") > 2})
    sizes = Dimensions(mels, context, width, heads, layers, inner)
    return Checkpoint(path, _checked(path, sizes), lambda: _read_ctranslate2(file, names))


def _read_ctranslate2(file: ModelFile, names: list[str]) -> dict[str, torch.Tensor]:
    weights = {}
    for name, value in file.read([name for name in names if name != "encoder/num_heads"]).items():
        name = re.sub(r"^layer_(\d+)/", r"blocks.\1.", name.removeprefix("encoder/"))
        stem, _, kind = name.rpartition("/")
        if stem.endswith("self_attention/linear_0"):
            parts = value.chunk(3) if len(value) % 3 == 0 else [value]
            for part, values in zip(("query", "key", "value"), parts, strict=False):
                if (part, kind) == ("key", "bias") and not values.any():
                    continue
                weights[f"{stem.removesuffix('self_attention/linear_0')}attn.{part}.{kind}"] = values
        else:
            weights[_renamed(name.replace("blocks.", "blocks/").replace(".", "/"), _NAMES_OF_CTRANSLATE2, "/")] = value
    return weights


def _renamed(name: str, names: Mapping[str, str], separator: str) -> str:
    """Replace what stands between separators, the longest first, and separate by dots."""
    middle = f"{separator}{name}{separator}"
    for old, new in sorted(names.items(), key=lambda pair: -len(pair[0])):
        middle = middle.replace(f"{separator}{old}{separator}", f"{separator}{new}{separator}")
    return middle.strip(separator).replace(separator, ".")


def read_config(path: Path) -> dict[str, Any]:
    """Read a folder's ``config.json``.

    Raises:
        ValueError: where it is no JSON mapping.
    """
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path / 'config.json'} is damaged: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path / 'config.json'} is damaged: no mapping")
    return config


def _counts(path: Path, settings: Mapping[str, Any], keys: tuple[str, ...]) -> list[int]:
    for key in keys:
        value = settings.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{path}: {key} is {value!r}, not a whole number")
    return [settings[key] for key in keys]


def _checked(path: Path, sizes: Dimensions) -> Dimensions:
    counts = (sizes.mels, sizes.context, sizes.width, sizes.heads, sizes.layers, sizes.inner)
    if min(counts) < 1 or sizes.width % (2 * sizes.heads):
        raise ValueError(f"{path}: no encoder has {sizes}")
    return sizes
