"""Trees of corpora, with files moved about and tables broken."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fuzz_mutations import Tree, changed_files
from hypothesis import strategies as st

from fuzz_targets import audio
from fuzz_targets.target import Target, call_all, in_this_process
from local.common.errors import RecipeError
from local.corpora import (
    clean_speech,
    fsdd,
    librimix,
    librispeech,
    noise_folder,
    noisy_librispeech,
    room_responses,
    voicebank_demand,
)
from local.corpora.librimix_mixing import read_metadata


def _trees() -> dict[str, Tree]:
    sounds = audio.sounds()
    wav, flac = sounds["a.wav"], sounds["e.flac"]
    names = ("p226_001", "p227_002")
    voicebank = {f"vb/{kind}_trainset_28spk_wav/{name}.wav": wav for kind in ("clean", "noisy") for name in names}
    voicebank |= {f"vb/trainset_28spk_txt/{name}.txt": b"Well, yes.\n" for name in names}
    voicebank["vb/logfiles/log_trainset_28spk.txt"] = b"p226_001 cafe 5\np227_002 babble 1.75e+01\n"
    stems = ("84-121123-0000", "84-121123-0001")
    speech = {f"ls/dev-clean/84/121123/{stem}.flac": flac for stem in stems}
    speech["ls/dev-clean/84/121123/84-121123.trans.txt"] = "".join(f"{stem} HE SAID\n" for stem in stems).encode()
    mixtures = {f"lm/wav16k/max/dev/{part}/{'_'.join(stems)}.wav": wav for part in ("mix_both", "s1", "s2", "noise")}
    mixtures["lm/wav16k/max/metadata/metrics_dev_mix_both.csv"] = (
        f"mixture_ID,source_1_SNR\n{'_'.join(stems)},3.5\n".encode()
    )
    row = f"{'_'.join(stems)},a/{stems[0]}.flac,0.7,a/{stems[1]}.flac,1.3,cv/00.wav,0.9\n"
    header = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain\n"
    digits = {f"digits/recordings/{digit}_theo_0.wav": wav for digit in range(10)}
    noisy = {
        "noisy/dev-clean_seen_noisy/manifest.csv": b"utterance,source,environment,start,snr,seed\n"
        + f"{stems[0]},dev-clean/84/121123/{stems[0]}.flac,TBUS,0,5,0\n".encode()
    }
    noisy[f"noisy/dev-clean_seen_noisy/84/121123/{stems[0]}.flac"] = flac
    return {
        "voicebank": voicebank,
        "librispeech": speech,
        "librimix": {**speech, **mixtures},
        "metadata": {"libri2mix.csv": (header + row).encode()},
        "digits": digits,
        "noise": {
            "noise/hum/1.wav": wav,
            "noise/rain.flac": flac,
            "noise/notes.txt": b"x",
            "rirs/a.wav": wav,
        },
        "noisy": {**speech, **noisy},
    }


def _cases() -> st.SearchStrategy[Tree]:
    return st.one_of([changed_files(tree, text=True, most=3) for tree in _trees().values()])


def _read(folder: Path, out: Path) -> None:
    librispeech.chapter_transcripts.cache_clear()
    readers: list[Callable[[], object]] = []
    if (folder / "vb").exists():
        options = {"dev_speakers": ("p226",), "rate": 16000}
        readers += [partial(voicebank_demand.utterances, folder / "vb", part, **options) for part in ("train", "dev")]
    if (folder / "ls").exists():
        readers += [
            partial(librispeech.utterances, folder / "ls", "dev-clean"),
            partial(clean_speech.from_tree, folder / "ls"),
        ]
    if (folder / "lm").exists():
        options = {"librispeech": folder / "ls", "type": "mix_both"}
        readers += [partial(librimix.utterances, folder / "lm", "dev", **options)]
    if (folder / "libri2mix.csv").exists():
        readers += [lambda: list(read_metadata(folder / "libri2mix.csv"))]
    if (folder / "digits").exists():
        readers += [partial(fsdd.recordings, folder / "digits")]
    if (folder / "noisy").exists():
        readers += [
            partial(noisy_librispeech.utterances, folder / "noisy", folder / "ls", part="dev-clean", kind="seen")
        ]
    if (folder / "noise").exists():
        readers += [partial(noise_folder.find_recordings, folder / "noise")]
    if (folder / "rirs").exists():
        readers += [
            lambda: [room_responses.load_response(path) for path in room_responses.find_responses(folder / "rirs")]
        ]
    with in_this_process():
        call_all(folder, RecipeError, readers, names=("mixture ",))


TARGET = Target("trees", lambda: list(_trees().values()), _cases, _read, (RecipeError,), names=("mixture ",))
