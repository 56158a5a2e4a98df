"""Where upstreams come from: torchaudio bundles, files of this repository, Hugging Face directories, others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from typing import Any

import torch

from espnet_plugins.ssl.bundles import bundle_file, bundles, load_bundle
from espnet_plugins.ssl.checkpoint import factory, instantiate, read_upstream
from espnet_plugins.ssl.huggingface import describe_directory
from espnet_plugins.ssl.spec import UpstreamSpec
from espnet_plugins.ssl.torchaudio_model import TorchaudioModel

Describe = Callable[[str | PathLike[str] | None], UpstreamSpec]


def describe_upstream(
    model: str = "hubert_base", *, checkpoint: str | PathLike[str] | None = None, pretrained: bool = True
) -> UpstreamSpec:
    """Find an upstream and check that it is usable, without reading its weights or the network.

    Args:
        model: as in :func:`~espnet_plugins.ssl.build_upstream`.
        checkpoint: file or folder.
        pretrained: False for random weights.

    Returns:
        Its description.

    Raises:
        ValueError: for an unknown model or options that do not go together.
        FileNotFoundError: for a checkpoint that is not there.

    Example:
        >>> describe_upstream("wavlm_base", pretrained=False).frames_of(16000)
        49
    """
    if not pretrained and checkpoint is not None:
        raise ValueError(f"checkpoint {checkpoint} and pretrained: false exclude each other; drop one of them")
    if model in _SOURCES:
        if not pretrained:
            raise ValueError(f"pretrained: false stands for a torchaudio bundle, not for model {model!r}")
        return _SOURCES[model](checkpoint)
    if model not in bundles():
        accepted = ", ".join([*sorted(bundles()), *sorted(_SOURCES)])
        raise ValueError(f"model {model!r}: accepted are {accepted}")
    return _describe_bundle(model, checkpoint, pretrained)


def register_upstream(model: str, describe: Describe) -> None:
    """Add a source of upstreams of one's own.

    Args:
        model: its name in ``build_upstream(model)``.
        describe: gives the description for a ``checkpoint`` (or None); must not read the weights.

    Raises:
        ValueError: where the name is taken by something else.
    """
    if model in bundles() or _SOURCES.get(model, describe) is not describe:
        raise ValueError(f"there is an upstream {model!r} already; choose another name")
    _SOURCES[model] = describe


def _describe_bundle(model: str, checkpoint: str | PathLike[str] | None, pretrained: bool) -> UpstreamSpec:
    bundle = bundles()[model]
    if pretrained:
        build = partial(load_bundle, bundle, bundle_file(bundle, checkpoint))
    else:
        build = partial(factory(bundle._params), **bundle._params)
    return _spec(model, bundle._params, bundle._normalize_waveform, int(bundle.sample_rate), build)


def _describe_local(checkpoint: str | PathLike[str] | None) -> UpstreamSpec:
    if checkpoint is None:
        raise ValueError("model 'local' needs `checkpoint`: a file written by save_upstream")
    content = read_upstream(checkpoint)

    def build() -> torch.nn.Module:
        weights = read_upstream(checkpoint)["state_dict"]
        return instantiate(content["architecture"], weights, where=str(checkpoint))

    normalize, sample_rate = content["normalize_waveform"], content["sample_rate"]
    return _spec(f"local upstream {checkpoint}", content["architecture"], normalize, sample_rate, build)


def _spec(
    name: str,
    architecture: Mapping[str, Any],
    normalize_waveform: bool,
    sample_rate: int,
    build: Callable[[], torch.nn.Module],
) -> UpstreamSpec:
    convolutions = architecture["extractor_conv_layer_config"]
    return UpstreamSpec(
        name=name,
        dim=architecture["encoder_embed_dim"],
        n_layers=architecture["encoder_num_layers"],
        convolutions=tuple((kernel, stride) for _, kernel, stride in convolutions),
        normalize_waveform=normalize_waveform,
        sample_rate=sample_rate,
        build=lambda: TorchaudioModel(build()),
    )


_SOURCES: dict[str, Describe] = {"local": _describe_local, "huggingface": describe_directory}
