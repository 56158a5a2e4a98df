"""Whisper as an upstream: what is known before the weights are read, and where they are."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import torch

from espnet_plugins.checks import check_choice
from espnet_plugins.ssl.downloads import Source, fetch, verify
from espnet_plugins.ssl.spec import UpstreamSpec
from espnet_plugins.ssl.whisper.catalogue import MODELS, Dimensions
from espnet_plugins.ssl.whisper.encoder import WhisperEncoder
from espnet_plugins.ssl.whisper.features import HOP, LONGEST, SAMPLE_RATE
from espnet_plugins.ssl.whisper.formats import is_model_directory, is_weight_file, open_checkpoint, read_config
from espnet_plugins.weights import load_weights

CONTEXTS = ("utterance", "window")
# The second convolution leaves every second frame of the log-mel.
_HOP = 2 * HOP


def describe_whisper(
    checkpoint: str | PathLike[str] | None,
    *,
    size: str | None = None,
    pretrained: bool = True,
    context: str | None = None,
) -> UpstreamSpec:
    """Describe a Whisper encoder.

    Args:
        checkpoint: OpenAI's ``.pt``, CTranslate2's ``model.bin`` or its folder, a Hugging Face directory; for a
            published model also the folder that holds or shall receive its file (torch hub's cache where left out).
        size: a published model: "tiny", "base.en", ...; None for whatever ``checkpoint`` holds.
        pretrained: False for random weights of a published size.
        context: "utterance" (default): the encoder sees the utterance's own frames; "window": 30 s with zeros behind
            the utterance, as the recognizer does, at up to ten times the cost.

    Returns:
        Its description.

    Raises:
        FileNotFoundError: where the checkpoint is not there.
        ValueError: where it is no Whisper, or another than ``size`` says.

    Example:
        >>> spec = describe_whisper(None, size="base", pretrained=False)
        >>> spec.hop_length, spec.frames_of(16000), spec.feature_dim, spec.n_layers
        (320, 50, 512, 6)
    """
    context = check_choice("context", "utterance" if context is None else context, CONTEXTS)
    name = "whisper" if size is None else f"whisper_{size}"
    if size is None:
        if checkpoint is None:
            raise ValueError("model 'whisper' needs `checkpoint`: a weight file or model directory of Whisper")
        opened = open_checkpoint(Path(checkpoint))
        sizes, name = opened.dimensions, f"{name} {checkpoint}"
        read = opened.read
    elif not pretrained:
        sizes, read = MODELS[size].dimensions, None
    else:
        sizes, path = MODELS[size].dimensions, None if checkpoint is None else Path(checkpoint)
        if path is not None and (path.is_file() or is_model_directory(path)):
            _check_size(path, size)
        elif path is not None and not path.is_dir():
            raise FileNotFoundError(
                f"checkpoint {path}: no such file or folder; give {MODELS[size].file}, CTranslate2's model.bin, a "
                "model directory, or the folder that holds or shall receive the file"
            )
        read = lambda: _published_weights(size, path)  # noqa: E731
    if context == "window" and sizes.context * _HOP != LONGEST:
        raise ValueError(f"{name}: context: 'window' has {LONGEST // _HOP} frames, this model has {sizes.context}")
    return UpstreamSpec(
        name=name,
        feature_dim=sizes.width,
        n_layers=sizes.layers,
        # A frame for every started 320 samples from the 160th on, as STFT and convolutions with their margins have it.
        convolutions=((HOP, _HOP),),
        normalize_waveform=False,
        sample_rate=SAMPLE_RATE,
        build=lambda: _build(sizes, read, window=context == "window", where=name),
        longest=sizes.context * _HOP,
        whole_context=context == "window",
    )


def looks_like_whisper(path: str | PathLike[str]) -> bool:
    """Whether a file or folder is meant to be a Whisper model; of a folder, its names and ``config.json`` tell."""
    path = Path(path)
    if path.is_dir():
        if (path / "model.bin").is_file():
            return True
        return (path / "config.json").is_file() and read_config(path).get("model_type") == "whisper"
    return path.is_file() and is_weight_file(path)


def _build(
    sizes: Dimensions, read: Callable[[], dict[str, torch.Tensor]] | None, *, window: bool, where: str
) -> WhisperEncoder:
    encoder = WhisperEncoder(sizes, window=window)
    if read is not None:
        load_weights(encoder, read(), where=where, fits="a Whisper encoder of its size")
    return encoder


def _published_weights(size: str, path: Path | None) -> dict[str, torch.Tensor]:
    """Read a published model's weights, from where they are or can be had."""
    if path is not None and (path.is_file() or is_model_directory(path)):
        if path.name == MODELS[size].file:
            _verify_openai(path, size)
        return _check_size(path, size).read()
    folder = Path(torch.hub.get_dir()) / "checkpoints" if path is None else path
    file = _fetched(size, folder)
    return _check_size(file, size).read()


def _fetched(size: str, folder: Path) -> Path:
    """The model's file in a folder, downloaded where it is not there: OpenAI's, else the mirror's."""
    model = MODELS[size]
    choices: list[tuple[Path, Source]] = [(folder / model.file, model.source)]
    if model.mirror is not None:
        choices.append((folder / model.mirror_file, model.mirror))
    for file, source in choices:
        if file.is_file():
            verify(file, source.sha256)
            return file
    failures = []
    for file, source in choices:
        try:
            fetch(file, source)
            return file
        except RuntimeError as error:
            failures.append(str(error))
    raise RuntimeError("; ".join(failures))


def _verify_openai(path: Path, size: str) -> None:
    try:
        verify(path, MODELS[size].sha256)
    except ValueError as error:
        raise ValueError(
            f"{error}. A model of the same size that is not OpenAI's is `model: whisper` with this `checkpoint`"
        ) from error


def _check_size(path: Path, size: str):
    opened = open_checkpoint(path)
    if opened.dimensions != MODELS[size].dimensions:
        raise ValueError(f"{path} is no whisper_{size} ({MODELS[size].dimensions}) but has {opened.dimensions}")
    return opened
