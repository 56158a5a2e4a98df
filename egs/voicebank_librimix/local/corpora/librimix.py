"""LibriMix (Cosentino et al., 2020) as sets of utterances, from mixtures made here or by the official scripts."""

from __future__ import annotations

import csv
from pathlib import Path

from local.common.audio import inspect
from local.common.kaldi_dir import DataError, Utterance
from local.common.parallel import parallel_map
from local.common.steps import OptionError
from local.corpora.librimix_mixing import SPLITS, TYPES, components
from local.corpora.librispeech import transcript, utterance_path

# Width of the classes of SNR that results are broken down by, in dB.
_SNR_CLASS = 5


def snr_class(snr: float) -> str:
    """The class of an SNR.

    Example:
        >>> snr_class(-3.2), snr_class(5.0)
        ('snr-5to0dB', 'snr5to10dB')
    """
    low = int(snr // _SNR_CLASS) * _SNR_CLASS
    return f"snr{low}to{low + _SNR_CLASS}dB"


def _read_metrics(path: Path) -> dict[str, float]:
    """The SNR of the first speaker of every mixture; empty where there is no such table."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["mixture_ID"]: float(row["source_1_SNR"]) for row in csv.DictReader(file)}


def _lengths(task: tuple[list[Path], int]) -> int:
    paths, rate = task
    frames = {path: inspect(path, rate=rate).frames for path in paths}
    if len(set(frames.values())) > 1:
        lengths = ", ".join(f"{path.parent.name} {count}" for path, count in frames.items())
        raise DataError(f"mixture {paths[0].stem}: its signals differ in length ({lengths} samples)")
    return next(iter(frames.values()))


def utterances(
    root: Path,
    split: str,
    *,
    librispeech: Path,
    type: str = "mix_single",
    mode: str = "max",
    rate: int = 16000,
    input: str = "noisy",
    nj: int = 1,
) -> list[Utterance]:
    """List a split.

    Nothing but the files' names and LibriSpeech's transcripts is used, so that a corpus that was moved
    works, whatever paths its own tables hold.

    Args:
        root: E.g. Libri2Mix/, with wav16k/max and so on.
        split: train-100, train-360, dev or test.
        librispeech: The folder LibriSpeech/, for the transcripts.
        type: mix_single (one speaker and noise), mix_both or mix_clean.
        mode: "max"; "min" cuts sentences short, which makes transcripts wrong.
        rate: In Hz.
        input: "noisy" for the mixture, "clean" for the first speaker alone.
        nj: Parallel processes.

    Returns:
        The utterances, in order; the speaker is the first speaker's number.

    Raises:
        OptionError: For an unknown split or type.
        DataError: When files or transcripts are missing or lengths differ.
    """
    for value, known, what in ((split, tuple(SPLITS), "split"), (type, TYPES, "type")):
        if value not in known:
            raise OptionError(f"LibriMix has no {what} '{value}': choose from {', '.join(known)}")
    base = root / f"wav{rate // 1000}k" / mode
    folder = base / split / type
    names = sorted(path.stem for path in folder.glob("*.wav") if not path.name.startswith("."))
    if not names:
        raise DataError(f"{folder} holds no mixtures")
    snrs = _read_metrics(base / "metadata" / f"metrics_{split}_{type}.csv")
    if missing := sorted(snrs.keys() - set(names)):
        raise DataError(f"{folder} lacks {len(missing)} mixtures of its table, the first is {missing[0]}.wav")
    parts = components(type, names[0].count("_") + 1)
    for part in parts:
        there = {path.stem for path in (base / split / part).glob("*.wav")}
        if missing := sorted(set(names) - there):
            raise DataError(f"{base / split / part} lacks {len(missing)} files, the first is {missing[0]}.wav")
    paths = {name: {part: base / split / part / f"{name}.wav" for part in parts} for name in names}
    tasks = [([folder / f"{name}.wav", *paths[name].values()], rate) for name in names]
    lengths = list(parallel_map(_lengths, tasks, nj=nj, description=f"check {split}"))
    voices = [part for part in parts if part != "noise"]
    found = []
    for name, samples in zip(names, lengths, strict=True):
        sources = name.split("_")[: len(voices)]
        texts = tuple(transcript(utterance_path(librispeech, SPLITS[split], source)) for source in sources)
        noise = paths[name].get("noise")
        quiet = input == "clean"
        category = "clean" if quiet else snr_class(snrs[name]) if name in snrs else type
        found.append(
            Utterance(
                id=name,
                speaker=name.split("-")[0],
                wav=str(paths[name]["s1"] if quiet else folder / f"{name}.wav"),
                references=tuple(str(paths[name][voice]) for voice in voices),
                texts=texts,
                noise=str(noise) if noise else None,
                category=category,
                samples=samples,
                rate=rate,
                details={"snr": f"{snrs[name]:.2f}"} if name in snrs and not quiet else {},
            )
        )
    return found
