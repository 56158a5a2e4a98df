"""Audio files of all formats, and responses of rooms."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from fuzz_mutations import Tree, changed_files
from hypothesis import strategies as st
from scipy.io import savemat

from fuzz_targets.target import Target, call_all, import_espnet, in_a_fork
from local.common import audio
from local.common.errors import RecipeError
from local.corpora import noise_folder, room_responses


def sounds() -> dict[str, bytes]:
    signal = (0.1 * np.random.default_rng(0).standard_normal((400, 2))).astype(np.float32)
    made: dict[str, bytes] = {}
    kinds = {
        **{
            "a.wav": ("WAV", "PCM_16"),
            "b.wav": ("WAV", "FLOAT"),
            "c.wav": ("WAVEX", "PCM_24"),
            "d.wav": ("WAV", "IMA_ADPCM"),
        },
        **{
            "e.flac": ("FLAC", "PCM_16"),
            "f.ogg": ("OGG", "VORBIS"),
            "g.mp3": ("MP3", "MPEG_LAYER_III"),
            "h.aiff": ("AIFF", "PCM_16"),
        },
        **{
            "i.caf": ("CAF", "PCM_16"),
            "j.w64": ("W64", "PCM_16"),
            "k.rf64": ("RF64", "PCM_16"),
            "l.au": ("AU", "PCM_16"),
        },
        **{
            "m.sph": ("NIST", "PCM_16"),
            "n.wav": ("WAV", "ULAW"),
            "o.opus": ("OGG", "OPUS"),
            "p.raw": ("RAW", "PCM_16"),
        },
    }
    for name, (kind, subtype) in kinds.items():
        buffer = io.BytesIO()
        one = signal[:, 0] if name in ("a.wav", "e.flac", "h.aiff", "m.sph", "p.raw") else signal
        soundfile.write(buffer, one, 16000, format=kind, subtype=subtype)
        made[name] = buffer.getvalue()
    # Long enough for a noise.
    long = (0.1 * np.random.default_rng(1).standard_normal(4800)).astype(np.float32)
    for name, kind in (("s.wav", "WAV"), ("t.flac", "FLAC")):
        buffer = io.BytesIO()
        soundfile.write(buffer, long, 4000, format=kind, subtype="PCM_U8" if kind == "WAV" else "PCM_S8")
        made[name] = buffer.getvalue()
    for name, content in (("q.mat", {"h": signal[:, 0], "fs": 16000}), ("r.mat", {"x": {"ir": signal, "sr": 48000.0}})):
        buffer = io.BytesIO()
        savemat(buffer, content)
        made[name] = buffer.getvalue()
    return made


def _whole() -> list[Tree]:
    # Without a header nothing tells what it is.
    return [{name: content} for name, content in sounds().items() if not name.endswith(".raw")]


def _cases() -> st.SearchStrategy[Tree]:
    return st.one_of([changed_files({name: content}) for name, content in sounds().items()])


def _read(folder: Path, out: Path) -> None:
    from espnet_plugins.inference import audio as own_audio

    for path in folder.iterdir():
        own_audio.duration(path)
        readers = [partial(room_responses.load_response, path)]
        if path.suffix == ".mat":
            # scipy's reader may end the process; the recipe's look at all responses survives that.
            readers = [partial(in_a_fork, readers[0], where=str(path))]
        else:
            recording = noise_folder.Recording("x", "x", path)
            readers += [
                partial(audio.read, path),
                partial(audio.read, path, channel=0, frames=100),
                partial(own_audio.read, path),
                partial(noise_folder.bring_to_rate, (recording, out / "x.flac")),
            ]
        call_all(folder, (audio.AudioError, ValueError), readers)


TARGET = Target("audio", _whole, _cases, _read, (ValueError, RecipeError), warm_up=import_espnet)
