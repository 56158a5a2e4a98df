"""The repository's own upstream files: one dictionary that torch reads without unpickling code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from espnet_plugins.atomic import atomic_path
from espnet_plugins.ssl.positions import OPTIONS, set_positions
from espnet_plugins.weights import load_weights, read_weights, why_unreadable

FORMAT = "espnet_plugins.upstream/1"
_KEYS = ("format", "architecture", "state_dict", "normalize_waveform", "sample_rate")
_HUBERT_PREFIX = "encoder.hubert_pretrain_model.wav2vec2."
_HUBERT_ENCODERS = ("torchaudio_hubert", "positional_hubert")


def save_upstream(
    path: str | PathLike[str],
    *,
    architecture: Mapping[str, Any],
    state_dict: Mapping[str, torch.Tensor],
    normalize_waveform: bool = False,
    sample_rate: int = 16000,
) -> None:
    """Write an upstream file for ``build_upstream("local", checkpoint=path)``.

    Args:
        path: file to write; replaced as a whole or not at all.
        architecture: arguments of ``torchaudio.models.wav2vec2_model``, or of ``wavlm_model`` where
            ``encoder_num_buckets`` is among them; ``positions`` and ``position_scale`` are those of
            :func:`~espnet_plugins.ssl.positions.set_positions`.
        state_dict: that model's weights.
        normalize_waveform: whether it was trained on waveforms of zero mean and unit variance.
        sample_rate: samples per second it was trained at.

    Raises:
        ValueError: where the weights do not fit the architecture.

    Example:
        >>> import tempfile, torchaudio
        >>> from espnet_plugins.ssl import build_upstream
        >>> architecture = dict(
        ...     extractor_mode="group_norm", extractor_conv_layer_config=[[8, 10, 5], [8, 8, 64]],
        ...     extractor_conv_bias=False, encoder_embed_dim=16, encoder_projection_dropout=0.1,
        ...     encoder_pos_conv_kernel=8, encoder_pos_conv_groups=2, encoder_num_layers=2,
        ...     encoder_num_heads=2, encoder_attention_dropout=0.1, encoder_ff_interm_features=32,
        ...     encoder_ff_interm_dropout=0.0, encoder_dropout=0.1, encoder_layer_norm_first=False,
        ...     encoder_layer_drop=0.05, aux_num_out=None)
        >>> model = torchaudio.models.wav2vec2_model(**architecture)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_upstream(f"{folder}/tiny.pt", architecture=architecture, state_dict=model.state_dict())
        ...     build_upstream("local", checkpoint=f"{folder}/tiny.pt").hop_length
        320
    """
    architecture = {**architecture, "aux_num_out": None}
    architecture["extractor_conv_layer_config"] = [
        [int(value) for value in layer] for layer in architecture["extractor_conv_layer_config"]
    ]
    weights = {name: value.detach().cpu() for name, value in state_dict.items() if not name.startswith("aux.")}
    instantiate(architecture, weights, where="the weights given to save_upstream")
    content = {
        "format": FORMAT,
        "architecture": architecture,
        "state_dict": weights,
        "normalize_waveform": bool(normalize_waveform),
        "sample_rate": int(sample_rate),
    }
    with atomic_path(Path(path)) as temporary:
        torch.save(content, temporary)


def read_upstream(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a file of :func:`save_upstream`; the weights stay on disk until they are touched.

    Args:
        path: the file.

    Returns:
        Its dictionary.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it is not a file of this format.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no upstream checkpoint at {path}: give an existing file as `checkpoint`")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise ValueError(why_unreadable(path, error)) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not of format {FORMAT!r}: write it with espnet_plugins.ssl.save_upstream, or from an "
            "ESPnet experiment with export_espnet_hubert"
        )
    if missing := [key for key in _KEYS if key not in content]:
        raise ValueError(f"{path} lacks {', '.join(missing)}")
    for key in ("architecture", "state_dict"):
        if not isinstance(content[key], Mapping):
            raise ValueError(f"{path} is damaged: its {key} is no mapping")
    return content


def factory(architecture: Mapping[str, Any]) -> Callable[..., torch.nn.Module]:
    """torchaudio's function whose arguments ``architecture`` holds."""
    from torchaudio import models

    return models.wavlm_model if "encoder_num_buckets" in architecture else models.wav2vec2_model


def instantiate(architecture: Mapping[str, Any], weights: Mapping[str, torch.Tensor], *, where: str) -> torch.nn.Module:
    """Build the torchaudio model of ``architecture`` with ``weights``.

    Args:
        architecture: arguments of torchaudio's factory.
        weights: its state dict.
        where: what an error message calls them.

    Returns:
        The model.

    Raises:
        ValueError: where they do not fit each other.
    """
    try:
        options = {name: value for name, value in architecture.items() if name not in OPTIONS}
        model = factory(architecture)(**options)
        set_positions(model, **{name: architecture[name] for name in OPTIONS if name in architecture})
    # Whatever torchaudio makes of a value that it does not expect.
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError, MemoryError) as error:
        raise ValueError(f"{where}: weights and architecture do not fit: {error}") from error
    load_weights(model, weights, where=where, fits="its architecture")
    return model


def export_espnet_hubert(config: str | PathLike[str], model: str | PathLike[str], out: str | PathLike[str]) -> None:
    """Turn a HuBERT pre-trained by ESPnet's HubertTask into an upstream file.

    Args:
        config: ``config.yaml`` of the experiment, whose encoder is ``torchaudio_hubert`` or ``positional_hubert``.
        model: its ``.pth``.
        out: upstream file to write.

    Raises:
        FileNotFoundError: where one of the files is missing.
        ValueError: where the experiment is of another kind.
    """
    import yaml
    from torchaudio.pipelines import HUBERT_BASE

    for name in (config, model):
        if not Path(name).is_file():
            raise FileNotFoundError(f"{name}: no such file; train the HuBERT first")
    settings = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    for key, accepted in (("encoder", _HUBERT_ENCODERS), ("frontend", (None,)), ("preencoder", (None,))):
        if settings.get(key) not in accepted:
            names = " and ".join(map(repr, accepted))
            raise ValueError(f"{config}: {key} is {settings.get(key)!r}, but only {names} can be exported")
    weights = read_weights(model)
    weights = {
        name.removeprefix(_HUBERT_PREFIX): value for name, value in weights.items() if name.startswith(_HUBERT_PREFIX)
    }
    if not weights:
        raise ValueError(f"{model}: no weights under {_HUBERT_PREFIX}")
    # An option left out of the configuration has ESPnet's default: the value of HuBERT Base.
    conf = settings.get("encoder_conf") or {}
    save_upstream(
        out,
        architecture={name: conf.get(name, value) for name, value in HUBERT_BASE._params.items()}
        | {name: conf[name] for name in OPTIONS if name in conf},
        state_dict=weights,
        normalize_waveform=_normalizes(settings, config),
    )


def _normalizes(settings: Mapping[str, Any], config: str | PathLike[str]) -> bool:
    kind, conf = settings.get("normalize"), settings.get("normalize_conf") or {}
    if kind is None:
        return False
    if kind == "utterance_mvn" and conf.get("norm_means", True) and conf.get("norm_vars", False):
        return True
    raise ValueError(
        f"{config}: normalize {kind!r} with {conf} cannot be exported; accepted are null and utterance_mvn "
        "with norm_means and norm_vars"
    )
