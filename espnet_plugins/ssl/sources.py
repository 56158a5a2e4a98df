"""Where upstreams come from: torchaudio bundles, files of this repository, Hugging Face directories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

import torch

from espnet_plugins.ssl.bundles import bundle_file, bundles, load_bundle
from espnet_plugins.ssl.checkpoint import factory, instantiate, read_upstream
from espnet_plugins.ssl.huggingface import describe_directory
from espnet_plugins.ssl.spec import UpstreamSpec


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
    if model in ("local", "huggingface"):
        if not pretrained:
            raise ValueError(f"pretrained: false stands for a torchaudio bundle, not for model {model!r}")
        return _local(checkpoint) if model == "local" else describe_directory(checkpoint)
    return _bundle(model, checkpoint, pretrained)


def _bundle(model: str, checkpoint: str | PathLike[str] | None, pretrained: bool) -> UpstreamSpec:
    known = bundles()
    if model not in known:
        raise ValueError(f"model {model!r}: accepted are {', '.join([*sorted(known), 'local', 'huggingface'])}")
    bundle = known[model]
    build: Callable[[], torch.nn.Module]
    if pretrained:
        path = bundle_file(bundle, checkpoint)
        build = lambda: load_bundle(bundle, path)  # noqa: E731
    else:
        build = lambda: factory(bundle._params)(**bundle._params)  # noqa: E731
    return _spec(model, bundle._params, bundle._normalize_waveform, int(bundle.sample_rate), build)


def _local(checkpoint: str | PathLike[str] | None) -> UpstreamSpec:
    if checkpoint is None:
        raise ValueError("model 'local' needs `checkpoint`: a file written by save_upstream")
    content = read_upstream(checkpoint)
    return _spec(
        f"local upstream {checkpoint}",
        content["architecture"],
        content["normalize_waveform"],
        content["sample_rate"],
        lambda: instantiate(content["architecture"], read_upstream(checkpoint)["state_dict"], where=str(checkpoint)),
    )


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
        build=build,
    )
