"""Upstreams out of Hugging Face model directories: converted to torchaudio's modules, or by transformers' own."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch

from espnet_plugins.ssl.spec import UpstreamSpec
from espnet_plugins.ssl.torchaudio_model import TorchaudioModel
from espnet_plugins.ssl.transformers_model import describe_encoder, load_model, read_configuration, read_extractor
from espnet_plugins.ssl.whisper import describe_whisper, looks_like_whisper
from espnet_plugins.ssl.whisper.formats import read_config

_CONVERTED = ("hubert", "wav2vec2", "wavlm")
# What torchaudio's modules have built in; a model that has it otherwise runs through transformers' own.
_BUILT_IN = {
    "feat_extract_activation": "gelu",
    "hidden_act": "gelu",
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
    "add_adapter": False,
    "adapter_attn_dim": None,
    "layer_norm_eps": 1e-5,
}


def describe_directory(checkpoint: str | PathLike[str] | None, *, context: str | None = None) -> UpstreamSpec:
    """Describe the model of a directory that ``save_pretrained`` or a download made.

    Usual HuBERTs, WavLMs and wav2vec 2.0s are converted to torchaudio's modules, of which only the blocks that are
    needed run. One of these whose extractor normalizes layers was trained on waveforms of zero mean and unit variance,
    one with a group norm on waveforms as they are; ``do_normalize`` of the directory says otherwise for HuBERT Base and
    is not followed. Any other speech encoder runs as transformers has it, with the ``do_normalize`` of its directory.

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
        import transformers  # noqa: F401
    except ImportError as error:
        raise ImportError("Hugging Face directories need transformers: pip install transformers") from error

    settings = read_config(directory)
    if settings.get("model_type") not in _CONVERTED:
        return describe_encoder(directory, settings)
    config = read_configuration(directory)
    if any(getattr(config, key, value) != value for key, value in _BUILT_IN.items()):
        return describe_encoder(directory, settings)
    return UpstreamSpec(
        name=f"huggingface model {directory}",
        feature_dim=config.hidden_size,
        n_layers=config.num_hidden_layers,
        convolutions=tuple(zip(config.conv_kernel, config.conv_stride, strict=True)),
        normalize_waveform=config.feat_extract_norm == "layer",
        sample_rate=_sample_rate(directory),
        build=lambda: _converted(directory, config),
    )


def _converted(directory: Path, config: Any) -> torch.nn.Module:
    from torchaudio.models.wav2vec2.utils import import_huggingface_model

    return TorchaudioModel(import_huggingface_model(load_model(directory, config)))


def _sample_rate(directory: Path) -> int:
    try:
        return read_extractor(directory)["sampling_rate"]
    except FileNotFoundError:
        return 16000
