"""Synthetic speakers: espeak-ng through its library, one process per voice."""

from __future__ import annotations

import ctypes
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from local.common.errors import RecipeError

# espeak-ng keeps the path of its data in 160 bytes, with what it adds to it, and overruns them without a word.
_LONGEST_PATH = 130
# Constants of espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_CHARS_UTF8 = 1


@dataclasses.dataclass(frozen=True)
class Voice:
    """A speaker.

    Args:
        variant: The espeak-ng voice variant, e.g. "m3".
        sex: M or F, for the speaker tables.
        rate: Speaking rate in words per minute.
        pitch: 0 to 100, 50 being the variant's own.
    """

    variant: str
    sex: str
    rate: int
    pitch: int


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One sentence to speak; rate and pitch move the voice's own for this sentence."""

    text: str
    rate: int = 0
    pitch: int = 0


# Twelve voices for the VoiceBank-like training set, six more for the LibriSpeech-like one.
TRAIN_VOICES = (
    Voice("m1", "M", 170, 45),
    Voice("f1", "F", 165, 50),
    Voice("m2", "M", 180, 40),
    Voice("f3", "F", 175, 60),
    Voice("m4", "M", 160, 55),
    Voice("f4", "F", 180, 45),
    Voice("m5", "M", 185, 50),
    Voice("Annie", "F", 170, 55),
    Voice("m7", "M", 165, 60),
    Voice("linda", "F", 180, 50),
    Voice("klatt", "M", 175, 50),
    Voice("klatt4", "M", 170, 65),
)
MORE_TRAIN_VOICES = (
    Voice("m8", "M", 175, 55),
    Voice("f5", "F", 170, 40),
    Voice("Michael", "M", 180, 60),
    Voice("steph", "F", 165, 50),
    Voice("Andy", "M", 170, 45),
    Voice("Alicia", "F", 185, 55),
)
DEV_VOICES = (Voice("m6", "M", 170, 50), Voice("Alex", "M", 180, 45))
TEST_VOICES = (
    Voice("m3", "M", 175, 52),
    Voice("f2", "F", 170, 48),
    Voice("Gene", "M", 165, 55),
    Voice("aunty", "F", 180, 52),
)


def _check(status: int, what: str) -> None:
    if status != 0:
        raise RecipeError(f"espeak-ng: {what} failed with status {status}")


def _short(folder: Path) -> str:
    """A path of a folder that espeak-ng can hold; one that is too long goes by a file descriptor of this process."""
    if len(os.fsencode(folder)) <= _LONGEST_PATH:
        return str(folder)
    # Left open: the library comes back to it with each new voice.
    return f"/proc/self/fd/{os.open(folder, os.O_RDONLY | os.O_DIRECTORY)}"


def espeak_library() -> tuple[ctypes.CDLL, int]:
    """Load espeak-ng from its wheel; gives the library and its sampling rate in Hz."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    # The wanted folder is the one that contains espeak-ng-data.
    folder = _short(Path(espeakng_loader.get_data_path()).parent).encode()
    rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, folder, 0)
    if rate <= 0:
        raise RecipeError(f"espeak-ng cannot start with the data in {folder.decode()} (status {rate})")
    return library, rate


def speak(voice: Voice, prompts: Sequence[Prompt], *, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """Speak sentences with one voice.

    espeak-ng keeps a state from sentence to sentence, and seeds its noise from the clock: bit-identical
    audio takes a seed, the same order and a process that has not spoken before.

    Args:
        voice: The speaker.
        prompts: The sentences, in an order that belongs to the result.
        seed: Of the synthesizer's noise.

    Yields:
        Samples, int16 of shape (T,), and the rate in Hz, 22050.

    Raises:
        RecipeError: When espeak-ng does not know the voice or refuses a setting.

    Example:
        >>> speech, rate = next(speak(Voice("m3", "M", 170, 50), [Prompt("set red four")], seed=1))
        >>> rate, speech.dtype.name, 0.5 < len(speech) / rate < 2.5
        (22050, 'int16', True)
    """
    import espeakng_loader

    # Of a variant that it does not know espeak-ng says nothing: it speaks with the language's own voice.
    if not (Path(espeakng_loader.get_data_path()) / "voices" / "!v" / voice.variant).is_file():
        raise RecipeError(f"espeak-ng has no voice variant '{voice.variant}'")
    library, rate = espeak_library()
    blocks: list[np.ndarray] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def collect(samples, count, _events):
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library.espeak_SetSynthCallback(collect)
    _check(library.espeak_ng_SetRandSeed(ctypes.c_long(seed)), "setting the seed")
    _check(library.espeak_SetVoiceByName(f"en-us+{voice.variant}".encode()), f"voice '{voice.variant}'")
    for prompt in prompts:
        blocks.clear()
        _check(library.espeak_SetParameter(_PARAMETER_RATE, voice.rate + prompt.rate, 0), "setting the rate")
        pitch = min(max(voice.pitch + prompt.pitch, 0), 100)
        _check(library.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0), "setting the pitch")
        text = prompt.text.encode()
        size = ctypes.c_size_t(len(text) + 1)
        _check(library.espeak_Synth(text, size, 0, 0, 0, _CHARS_UTF8, None, None), f"speaking '{prompt.text}'")
        _check(library.espeak_Synchronize(), "waiting for the speech")
        if not blocks:
            raise RecipeError(f"espeak-ng: voice '{voice.variant}' gave no sound for '{prompt.text}'")
        yield np.concatenate(blocks), rate
