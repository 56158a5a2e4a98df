"""Whisper as a judge: a recognizer that nobody here trained, through faster-whisper (CTranslate2), in batches.

Needs the extra ``whisper``; the package is imported on first use only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from espnet_plugins.checks import check_number
from espnet_plugins.ssl.whisper.features import SAMPLE_RATE

# What one pass of the model sees; shorter utterances are followed by zeros, as in its training.
WINDOW_SECONDS = 30
# What a folder of CTranslate2 must hold beside one of the vocabularies.
_FILES = ("model.bin", "config.json", "tokenizer.json")


class WhisperRecognizer:
    """Recognizes utterances of at most 30 s, several at a time, without timestamps and without randomness.

    Each utterance is decoded by itself at temperature 0: no fallback to sampling, no text of earlier utterances, no
    detection of silence, so that two calls give the same words.

    Args:
        model: A folder of CTranslate2 (``model.bin``, ``config.json``, ``tokenizer.json``, a vocabulary).
        language: ISO code such as "en"; the only one of English models.
        beam_size: Hypotheses kept; 1 is greedy.
        batch_size: Utterances of one pass.
        compute_type: CTranslate2's: "int8", "float32", ...
        threads: CPU threads; 0 takes those that OpenMP may use.
        device: "cpu" or "cuda".

    Raises:
        ImportError: Without faster-whisper.
        ValueError: For a folder that holds no Whisper, or a language that the model does not know.
    """

    def __init__(
        self,
        model: str | PathLike[str],
        *,
        language: str = "en",
        beam_size: int = 1,
        batch_size: int = 8,
        compute_type: str = "int8",
        threads: int = 0,
        device: str = "cpu",
    ):
        try:
            from faster_whisper import WhisperModel, tokenizer, transcribe
        except ImportError as error:
            raise ImportError("decoding with Whisper needs faster-whisper: pip install '.[whisper]'") from error
        folder = Path(model)
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if not missing and not any(folder.glob("vocabulary.*")):
            missing = ["vocabulary.json (or .txt)"]
        if missing:
            raise ValueError(f"{folder} is no Whisper of CTranslate2: {', '.join(missing)} missing")
        self.beam_size = int(check_number("beam_size", beam_size, low=1))
        self.batch_size = int(check_number("batch_size", batch_size, low=1))
        try:
            self._model = WhisperModel(str(folder), device=device, compute_type=compute_type, cpu_threads=threads)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{folder}: CTranslate2 cannot read it: {error}") from error
        self.is_multilingual = self._model.model.is_multilingual
        known = tokenizer._LANGUAGE_CODES if self.is_multilingual else ("en",)
        if language not in known or self._model.hf_tokenizer.token_to_id(f"<|{language}|>") is None:
            raise ValueError(f"{folder} does not know language '{language}': choose from {', '.join(known)}")
        self._tokenizer = tokenizer.Tokenizer(
            self._model.hf_tokenizer, self.is_multilingual, task="transcribe", language=language
        )
        self._prompt = self._model.get_prompt(self._tokenizer, [], without_timestamps=True)
        self._suppressed = list(transcribe.get_suppressed_tokens(self._tokenizer, [-1]))
        self._pad = transcribe.pad_or_trim

    def __call__(self, waveform: np.ndarray) -> str:
        """Recognize one utterance.

        Args:
            waveform: (T,) at 16 kHz, full scale 1.

        Returns:
            The text as the model writes it, with capitals and punctuation.
        """
        return next(self.transcribe([("utterance", waveform)]))[1]

    def transcribe(self, utterances: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, str]]:
        """Recognize utterances in batches.

        Args:
            utterances: (id, waveform of (T,) at 16 kHz), read as they are needed.

        Yields:
            (id, text), in the same order.

        Raises:
            ValueError: For an utterance of more than 30 s, without samples, of another shape or not finite, by its id.
        """
        batch: list[tuple[str, np.ndarray]] = []
        for name, waveform in utterances:
            batch.append((name, self._features(name, waveform)))
            if len(batch) == self.batch_size:
                yield from self._decode(batch)
                batch = []
        if batch:
            yield from self._decode(batch)

    def _features(self, name: str, waveform: np.ndarray) -> np.ndarray:
        samples = np.asarray(waveform, dtype=np.float32)
        if samples.ndim != 1 or samples.size == 0 or not np.isfinite(samples).all():
            raise ValueError(f"utterance {name}: needs finite samples of one channel, not {list(samples.shape)}")
        seconds = samples.size / SAMPLE_RATE
        if seconds > WINDOW_SECONDS:
            raise ValueError(f"utterance {name} has {seconds:.1f} s: Whisper sees {WINDOW_SECONDS} s; cut it first")
        # As faster-whisper's own transcribe(): its last frame lies behind the utterance.
        return self._pad(self._model.feature_extractor(samples)[:, :-1])

    def _decode(self, batch: list[tuple[str, np.ndarray]]) -> Iterator[tuple[str, str]]:
        encoded = self._model.encode(np.stack([features for _, features in batch]))
        results: list[Any] = self._model.model.generate(
            encoded,
            [self._prompt] * len(batch),
            beam_size=self.beam_size,
            max_length=self._model.max_length,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
        )
        for (name, _), result in zip(batch, results, strict=True):
            yield name, self._tokenizer.decode(result.sequences_ids[0]).strip()
