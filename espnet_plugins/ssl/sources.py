"""Where upstreams come from: torchaudio bundles, files of this repository, Hugging Face directories, others."""

from __future__ import annotations

import inspect
import os
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
from espnet_plugins.ssl.whisper import MODELS as WHISPER_MODELS
from espnet_plugins.ssl.whisper import describe_whisper, looks_like_whisper

Describe = Callable[..., UpstreamSpec]
# Options of an upstream in a configuration.
UPSTREAM_OPTIONS = ("model", "checkpoint", "pretrained", "context")


def describe_upstream(
    model: str = "hubert_base",
    *,
    checkpoint: str | PathLike[str] | None = None,
    pretrained: bool = True,
    context: str | None = None,
) -> UpstreamSpec:
    """Find an upstream and check that it is usable, without reading its weights or the network.

    Args:
        model: as in :func:`~espnet_plugins.ssl.build_upstream`.
        checkpoint: file or folder.
        pretrained: False for random weights.
        context: of Whisper: "utterance" or "window".

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
        describe = _SOURCES[model]
    elif model in bundles():
        describe = partial(_describe_bundle, model)
    else:
        accepted = ", ".join([*sorted(bundles()), *sorted(_SOURCES)])
        raise ValueError(f"model {model!r}: accepted are {accepted}")
    accepted_options = inspect.signature(describe).parameters
    if not pretrained and "pretrained" not in accepted_options:
        raise ValueError(
            f"pretrained: false stands for a torchaudio bundle or a published Whisper, not for model {model!r}"
        )
    if context is not None and "context" not in accepted_options:
        raise ValueError(f"context: {context!r} is an option of Whisper; model {model!r} has none, leave it out")
    options: dict[str, Any] = {} if pretrained else {"pretrained": False}
    return describe(checkpoint, **options, **({} if context is None else {"context": context}))


def find_upstream(upstream: str) -> dict[str, Any]:
    """Options of :func:`~espnet_plugins.ssl.build_upstream` for what a command line names.

    Args:
        upstream: a file, a directory, or the name of a model.

    Returns:
        ``model`` and, for a path, ``checkpoint``.

    Example:
        >>> find_upstream("hubert_base"), find_upstream("exp/ssl/upstream.pth")["model"]
        ({'model': 'hubert_base'}, 'local')
    """
    if not os.path.exists(upstream) and os.sep not in upstream:
        return {"model": upstream}
    if looks_like_whisper(upstream):
        return {"model": "whisper", "checkpoint": upstream}
    return {"model": "huggingface" if os.path.isdir(upstream) else "local", "checkpoint": upstream}


def register_upstream(model: str, describe: Describe) -> None:
    """Add a source of upstreams of one's own.

    Args:
        model: its name in ``build_upstream(model)``.
        describe: gives the description for a ``checkpoint`` (or None); must not read the weights. Options
            ``pretrained`` and ``context`` are passed on where they are given and it has a parameter of that name.

    Raises:
        ValueError: where the name is taken by something else.
    """
    if model in bundles() or _SOURCES.get(model, describe) is not describe:
        raise ValueError(f"there is an upstream {model!r} already; choose another name")
    _SOURCES[model] = describe


def _describe_bundle(model: str, checkpoint: str | PathLike[str] | None, *, pretrained: bool = True) -> UpstreamSpec:
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
    try:
        return _spec(f"local upstream {checkpoint}", content["architecture"], normalize, sample_rate, build)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{checkpoint} is damaged: its architecture cannot be read: {error!r}") from error


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
        feature_dim=architecture["encoder_embed_dim"],
        n_layers=architecture["encoder_num_layers"],
        convolutions=tuple((kernel, stride) for _, kernel, stride in convolutions),
        normalize_waveform=normalize_waveform,
        sample_rate=sample_rate,
        build=lambda: TorchaudioModel(build()),
    )


_SOURCES: dict[str, Describe] = {
    "local": _describe_local,
    "huggingface": describe_directory,
    # Without `pretrained`: whatever the checkpoint holds has weights.
    "whisper": lambda checkpoint, *, context=None: describe_whisper(checkpoint, context=context),
    **{f"whisper_{size}": partial(describe_whisper, size=size) for size in WHISPER_MODELS},
}
