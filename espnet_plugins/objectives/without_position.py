"""The option `remove_position` of the SSL criteria, and the speech that it estimates with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from espnet_plugins.checks import check_mapping, check_number
from espnet_plugins.ssl import Upstream, UpstreamWithoutPosition

_AUDIO = (".wav", ".flac", ".ogg")
# (path, ESPnet's kind of data) of the clean speech of the training that a model is built for.
_TRAINING: ContextVar[tuple[str, str] | None] = ContextVar("espnet_plugins_training_speech", default=None)


@contextmanager
def training_speech(data: Sequence[Sequence[str]] | None) -> Iterator[None]:
    """Tell criteria that are built inside where the clean training speech is.

    Args:
        data: ESPnet's `train_data_path_and_name_and_type`: the one named speech_ref1 is meant; None for no training.

    Example:
        >>> with training_speech([("dump/spk1.scp", "speech_ref1", "sound")]):
        ...     pass  # build the model
    """
    found = [(str(path), kind) for path, name, kind in data or () if name == "speech_ref1"]
    token = _TRAINING.set(found[0] if found else None)
    try:
        yield
    finally:
        _TRAINING.reset(token)


@dataclass(frozen=True)
class Speech:
    """Utterances to estimate with: an even choice of a list or folder.

    Args:
        path: wav.scp, or a folder of audio files.
        kind: ESPnet's kind of data of a wav.scp.
        utterances: how many.
        sample_rate: that they must have.

    Example:
        >>> str(Speech("dump/train/spk1.scp"))
        'dump/train/spk1.scp'
    """

    path: str
    kind: str = "sound"
    utterances: int = 40
    sample_rate: int = 16000

    def __str__(self) -> str:
        return self.path

    def read(self) -> list[torch.Tensor]:
        """Read them, (T,) each, the first channel.

        Raises:
            FileNotFoundError: where there is no such list or folder.
            ValueError: for audio of another rate.
        """
        path = Path(self.path)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _AUDIO)
            return [self._read_file(file) for file in _even_choice(files, self.utterances)]
        if not path.is_file():
            raise FileNotFoundError(
                f"remove_position: speech: {path}: no such wav.scp or folder; give one: "
                "`remove_position: {speech: PATH}`"
            )
        from espnet2.train.dataset import DATA_TYPES

        if self.kind not in ("sound", "kaldi_ark"):
            raise ValueError(
                f"remove_position: {path} is of kind {self.kind}; give `speech`: a wav.scp or a folder of audio files"
            )
        table = DATA_TYPES[self.kind]["func"](self.path, float_dtype="float32")
        chosen = [torch.from_numpy(table[key].copy()) for key in _even_choice(list(table), self.utterances)]
        # ESPnet's readers insist on one rate in a list, whichever it is.
        self._check_rate(getattr(table, "rate", None) or self.sample_rate, self.path)
        return [waveform[:, 0] if waveform.ndim == 2 else waveform for waveform in chosen]

    def _check_rate(self, rate: int, where: str | Path) -> None:
        if rate != self.sample_rate:
            raise ValueError(
                f"remove_position: speech: {where} has {rate} Hz, the upstream takes {self.sample_rate}; give speech "
                "of this rate"
            )

    def _read_file(self, file: Path) -> torch.Tensor:
        import soundfile

        try:
            waveform, rate = soundfile.read(file, dtype="float32", always_2d=True)
        except RuntimeError as error:
            raise ValueError(f"remove_position: speech: {file} cannot be read: {error}") from error
        self._check_rate(rate, file)
        return torch.from_numpy(waveform[:, 0].copy())


def without_position(owner: str, upstream: Upstream, option: Any, *, unit_length: bool) -> Upstream:
    """Give the upstream that the option `remove_position` asks for.

    Args:
        owner: what the option belongs to, for messages.
        upstream: the criterion's upstream.
        option: False, True, or a mapping: `speech`, a wav.scp or folder of clean speech (the training set's where left
            out), `utterances` and `turns`, on which the estimate is made: what remains is about one part in
            utterances * turns of the variance.
        unit_length: whether the criterion L2-normalizes frames.

    Returns:
        The upstream itself, or one without position.

    Raises:
        ValueError: for an unknown key or a value that is not accepted, naming both.
    """
    owner = f"{owner}: remove_position"
    if option is None or option is False:
        return upstream
    given = check_mapping(owner, None if option is True else option, ("speech", "utterances", "turns"))
    counts = {}
    for name, default, least in (("utterances", 40, 4), ("turns", 4, 1)):
        counts[name] = int(check_number(f"{owner}: {name}", given.get(name, default), low=least))
    speech = _speech(owner, given.get("speech"), counts["utterances"], upstream.sample_rate)
    return UpstreamWithoutPosition(
        upstream,
        speech=partial(_missing, owner) if speech is None else speech.read,
        key=speech,
        unit_length=unit_length,
        turns=counts["turns"],
    )


def _speech(owner: str, path: Any, utterances: int, sample_rate: int) -> Speech | None:
    if path is not None:
        if not isinstance(path, (str, os.PathLike)):
            raise ValueError(f"{owner}: speech: {path!r} is not accepted; give a wav.scp or a folder of audio files")
        return Speech(os.fspath(path), "sound", utterances, sample_rate)
    training = _TRAINING.get()
    return None if training is None else Speech(*training, utterances, sample_rate)


def _missing(owner: str) -> list[torch.Tensor]:
    raise ValueError(
        f"{owner}: no training set with speech_ref1 is known here; give `remove_position: {{speech: PATH}}`, a wav.scp "
        "or a folder of audio files"
    )


def _even_choice(items: Sequence[Any], count: int) -> list[Any]:
    count = min(count, len(items))
    return [items[position * len(items) // count] for position in range(count)]
