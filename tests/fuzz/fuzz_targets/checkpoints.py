"""Weights, upstreams and models of Whisper, as torch, Hugging Face and CTranslate2 write them."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fuzz_mutations import Tree, changed_files, changed_values
from hypothesis import strategies as st
from tiny_architectures import TINY
from tiny_whisper import openai_content, tiny_encoder, write_ctranslate2, write_huggingface

from espnet_plugins.ssl import save_upstream
from espnet_plugins.ssl.checkpoint import instantiate, read_upstream
from espnet_plugins.ssl.sources import describe_upstream
from espnet_plugins.ssl.whisper import describe_whisper
from espnet_plugins.ssl.whisper.catalogue import Dimensions
from espnet_plugins.train.checkpoint import is_intact
from espnet_plugins.weights import read_weights
from fuzz_targets.target import Target, call_all, import_espnet

_SIZES = Dimensions(mels=8, context=16, width=8, heads=2, layers=1, inner=16)
# OpenAI's layers are four times as wide inside, whatever a file says.
_OPENAI = dataclasses.replace(_SIZES, inner=4 * _SIZES.width)


def _saved(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _upstream() -> bytes:
    from torchaudio.models import wav2vec2_model

    sizes = {
        **TINY,
        "extractor_conv_layer_config": [[4, 10, 5], [4, 8, 64]],
        "encoder_embed_dim": 8,
        "encoder_num_layers": 1,
    }
    sizes |= {"encoder_num_heads": 2, "encoder_ff_interm_features": 8, "encoder_pos_conv_groups": 2}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "u.pt"
        save_upstream(path, architecture=sizes, state_dict=wav2vec2_model(**sizes, aux_num_out=None).state_dict())
        return path.read_bytes()


def _checkpoints() -> list[Tree]:
    state = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}
    whisper = tiny_encoder(_SIZES).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        ctranslate2 = write_ctranslate2(Path(folder) / "model.bin", whisper, _SIZES).read_bytes()
        hugging = write_huggingface(Path(folder) / "hf", whisper, _SIZES)
        directory = {f"hf/{path.name}": path.read_bytes() for path in hugging.iterdir()}
    return [
        {"model.pth": _saved(state)},
        {"model.pth": _saved({"model": state, "reporter": {"epoch": 1}}, _use_new_zipfile_serialization=False)},
        {"upstream.pth": _upstream()},
        {"whisper.pt": _saved(openai_content(tiny_encoder(_OPENAI).state_dict(), _OPENAI))},
        {"model.bin": ctranslate2},
        directory,
    ]


def _changed_state(content: Any) -> st.SearchStrategy[Any]:
    """Tensors left out, renamed, of another shape or kind, or not finite, anywhere in nested mappings."""
    edits = ("gone", "renamed", "longer", "flat", "half", "whole", "nan", "none", "text", "empty")
    change = st.tuples(st.integers(0, 63), st.sampled_from(edits))

    def apply(changes: list[tuple[int, str]]) -> Any:
        made = _copied(content)
        for which, how in changes:
            places = list(_tensors(made))
            if not places:
                return made
            inside, key = places[which % len(places)]
            value = inside.pop(key)
            if how != "gone":
                inside[f"{key}_" if how == "renamed" else key] = _edited(value, how)
        return made

    return st.lists(change, min_size=1, max_size=3).map(apply)


def _copied(value: Any) -> Any:
    return {key: _copied(item) for key, item in value.items()} if isinstance(value, dict) else value


def _tensors(value: Any) -> Any:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _tensors(item)
        elif isinstance(item, torch.Tensor):
            yield value, key


def _edited(value: torch.Tensor, how: str) -> Any:
    edited = {
        "longer": lambda: torch.cat([value, value]) if value.dim() else value.repeat(2),
        "flat": value.flatten,
        "half": value.half,
        "whole": value.long,
        "nan": lambda: torch.full_like(value, torch.nan) if value.is_floating_point() else value,
        "none": lambda: None,
        "text": lambda: "x",
        "empty": lambda: value.flatten()[:0],
    }
    return edited[how]() if how in edited else value


def _changed_settings(tree: Tree, name: str) -> st.SearchStrategy[Tree]:
    """Change values of a file of JSON."""
    settings = json.loads(tree[name] or b"")
    return changed_values(settings).map(lambda made: {**tree, name: json.dumps(made).encode("utf-8", "replace")})


def _changed_header(tree: Tree, name: str) -> st.SearchStrategy[Tree]:
    """Change values of the header of a file of safetensors."""
    content = tree[name] or b""
    (length,) = struct.unpack("<Q", content[:8])

    def put(made: Any) -> Tree:
        header = json.dumps(made).encode("utf-8", "replace")
        return {**tree, name: struct.pack("<Q", len(header)) + header + content[8 + length :]}

    return changed_values(json.loads(content[8 : 8 + length])).map(put)


def _cases() -> st.SearchStrategy[Tree]:
    trees = _checkpoints()
    (directory,) = (tree for tree in trees if len(tree) > 1)
    upstream = torch.load(io.BytesIO(_upstream()), weights_only=True)
    whisper = openai_content(tiny_encoder(_OPENAI).state_dict(), _OPENAI)
    architecture = changed_values(upstream["architecture"]).map(lambda made: {**upstream, "architecture": made})
    return st.one_of(
        *[changed_files(tree) for tree in trees],
        _changed_state(upstream).map(lambda made: {"upstream.pth": _saved(made)}),
        architecture.map(lambda made: {"upstream.pth": _saved(made)}),
        _changed_state(whisper).map(lambda made: {"whisper.pt": _saved(made)}),
        changed_values(whisper["dims"]).map(lambda made: {"whisper.pt": _saved({**whisper, "dims": made})}),
        _changed_settings(directory, "hf/config.json"),
        *[_changed_header(directory, name) for name in directory if name.endswith(".safetensors")],
    )


def _read(folder: Path, out: Path) -> None:
    from espnet_plugins.inference.foreign import explain_denoiser_checkpoint

    for path in folder.rglob("*"):
        if path.is_file():
            is_intact(path)
            explain_denoiser_checkpoint(path)

        def upstream(path: Path = path) -> None:
            describe_upstream("local", checkpoint=path)
            content = read_upstream(path)
            instantiate(content["architecture"], content["state_dict"], where=str(path))

        def whisper(path: Path = path) -> None:
            describe_whisper(path).build()

        # Of a directory's files some are nothing by themselves.
        errors = (ValueError, OSError)
        try:
            call_all(folder, errors, [partial(read_weights, path), upstream, whisper])
        except errors:
            if path.parent == folder:
                raise


TARGET = Target("checkpoints", _checkpoints, _cases, _read, (ValueError, OSError), warm_up=import_espnet)
