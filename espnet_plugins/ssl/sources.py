"""Where upstreams come from: torchaudio bundles, local files, Hugging Face directories."""

from __future__ import annotations

from os import PathLike

from espnet_plugins.ssl.checkpoint import instantiate, read_upstream
from espnet_plugins.ssl.spec import UpstreamSpec


def describe_upstream(
    model: str = "hubert_base", *, checkpoint: str | PathLike[str] | None = None, pretrained: bool = True
) -> UpstreamSpec:
    """Find an upstream and check that it is usable, without reading its weights.

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
    if model == "local":
        return _local(checkpoint)
    raise ValueError(f"unknown upstream model {model!r}")


def _local(checkpoint: str | PathLike[str] | None) -> UpstreamSpec:
    if checkpoint is None:
        raise ValueError("model 'local' needs `checkpoint`: a file written by save_upstream")
    content = read_upstream(checkpoint)
    architecture = content["architecture"]
    convolutions = architecture["extractor_conv_layer_config"]
    return UpstreamSpec(
        name=f"local upstream {checkpoint}",
        dim=architecture["encoder_embed_dim"],
        n_layers=architecture["encoder_num_layers"],
        convolutions=tuple((kernel, stride) for _, kernel, stride in convolutions),
        normalize_waveform=content["normalize_waveform"],
        sample_rate=content["sample_rate"],
        build=lambda: instantiate(architecture, read_upstream(checkpoint)["state_dict"], where=str(checkpoint)),
    )
