"""Upstreams out of Hugging Face model directories, converted to torchaudio's modules."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from espnet_plugins.ssl.spec import UpstreamSpec
from espnet_plugins.ssl.torchaudio_model import TorchaudioModel
from espnet_plugins.ssl.whisper import describe_whisper, looks_like_whisper
from espnet_plugins.weights import named, weights_are_finite

_TYPES = ("hubert", "wav2vec2", "wavlm")
# What torchaudio's modules have built in, for options that models of these types seldom change.
_FIXED = {
    "feat_extract_activation": "gelu",
    "hidden_act": "gelu",
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
    "add_adapter": False,
}


def describe_directory(checkpoint: str | PathLike[str] | None, *, context: str | None = None) -> UpstreamSpec:
    """Describe the model of a directory that ``save_pretrained`` or a download made.

    A model whose extractor normalizes layers was trained on waveforms of zero mean and unit variance, one with
    a group norm on waveforms as they are; ``do_normalize`` of the directory says otherwise for HuBERT Base and
    is not followed.

    Args:
        checkpoint: the directory, with ``config.json`` and the weights.
        context: of Whisper, see :func:`~espnet_plugins.ssl.whisper.describe_whisper`.

    Returns:
        Its description.

    Raises:
        FileNotFoundError: where there is no such directory.
        ImportError: where transformers is not installed.
        ValueError: for a model of another kind.
    """
    if checkpoint is None:
        raise ValueError("model 'huggingface' needs `checkpoint`: a model directory")
    directory = Path(checkpoint)
    if not (directory / "config.json").is_file():
        raise FileNotFoundError(
            f"{directory} has no config.json: give a model directory as `checkpoint`, fetched by "
            "`hf download NAME --local-dir DIR`"
        )
    if looks_like_whisper(directory):
        return describe_whisper(directory, context=context)
    if context is not None:
        raise ValueError(f"{directory} is no Whisper: it has no option context; leave it out")
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise ImportError("Hugging Face directories need transformers: pip install transformers") from error

    config = AutoConfig.from_pretrained(directory, local_files_only=True)
    if config.model_type not in _TYPES:
        raise ValueError(f"{directory}: model_type {config.model_type!r}; accepted are {', '.join(_TYPES)}")
    for key, accepted in _FIXED.items():
        if getattr(config, key, accepted) != accepted:
            raise ValueError(f"{directory}: {key} is {getattr(config, key)!r}; accepted is {accepted!r}")
    return UpstreamSpec(
        name=f"huggingface model {directory}",
        feature_dim=config.hidden_size,
        n_layers=config.num_hidden_layers,
        convolutions=tuple(zip(config.conv_kernel, config.conv_stride, strict=True)),
        normalize_waveform=config.feat_extract_norm == "layer",
        sample_rate=_sample_rate(directory),
        build=lambda: _load(directory, config),
    )


def _load(directory: Path, config: Any) -> torch.nn.Module:
    from torchaudio.models.wav2vec2.utils import import_huggingface_model
    from transformers import AutoModel

    model, info = AutoModel.from_pretrained(
        directory, config=config, local_files_only=True, dtype=torch.float32, output_loading_info=True
    )
    _check_loaded(directory, model, info)
    return TorchaudioModel(import_huggingface_model(model))


def _check_loaded(directory: Path, model: torch.nn.Module, info: Mapping[str, Any]) -> None:
    """Refuse weights of which transformers left some out or filled some in; heads behind the model are no part of it.

    Raises:
        ValueError: naming the tensors.
    """
    parts = {name for name, _ in model.named_children()}
    own = model.state_dict()
    faults = {
        "missing": set(info["missing_keys"]) - {"masked_spec_embed"},
        "unexpected": {
            name
            for name in info["unexpected_keys"]
            if parts & set(name.removeprefix(f"{model.base_model_prefix}.").split(".")[:1])
        },
        "not finite": {name for name in own if not weights_are_finite(own[name])},
    }
    found = [f"{kind} {named(sorted(names))}" for kind, names in faults.items() if names]
    if found:
        raise ValueError(f"{directory} does not fit its config.json: {'; '.join(found)}")


def _sample_rate(directory: Path) -> int:
    import json

    settings = directory / "preprocessor_config.json"
    if not settings.is_file():
        return 16000
    return json.loads(settings.read_text(encoding="utf-8")).get("sampling_rate", 16000)
