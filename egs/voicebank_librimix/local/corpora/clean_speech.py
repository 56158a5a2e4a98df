"""Clean speech of any origin: a tree like LibriSpeech's or a table; and its speakers dealt to train, dev and test."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.common.audio import AudioError, check_is_file
from local.common.csv_table import locate, read_csv
from local.common.errors import OptionError
from local.common.kaldi_dir import DataError
from local.corpora import librispeech
from local.corpora.mixing import named_rng

SPLITS = ("train", "dev", "test")


@dataclasses.dataclass(frozen=True)
class Speech:
    """A recording of speech: its id, who speaks, the part of the corpus it is in, what is said where it is known."""

    id: str
    speaker: str
    part: str
    audio: Path
    text: str = ""


def from_tree(root: Path, parts: Iterable[str] = ()) -> list[Speech]:
    """List the recordings of a tree like LibriSpeech's; it need not be complete, nor have all transcripts.

    Args:
        root: With `<part>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac`.
        parts: The parts; none means every folder that has such files.

    Returns:
        In order of parts and names.

    Raises:
        DataError: When a part is missing or there is no speech.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder: give LibriSpeech's with --librispeech, or a table with --speech")
    names = list(parts) or sorted(path.name for path in root.iterdir() if path.is_dir() and any(path.rglob("*.flac")))
    if not names:
        raise DataError(f"{root} holds no speech: no <part>/<speaker>/<chapter>/*.flac in it")
    return [
        Speech(path.stem, path.stem.split("-")[0], part, path, librispeech.known_transcript(path) or "")
        for part in names
        for path in librispeech.files(root, part)
    ]


def from_table(path: Path) -> list[Speech]:
    """List the recordings that a table names.

    Args:
        path: With the columns utt, clean (the audio file), speaker, and perhaps text and part; others are passed
            over, so that the table of an own corpus serves too.

    Returns:
        In the table's order.

    Raises:
        DataError: When the table has a fault, or names what is no file.
    """
    found, lines = [], dict[str, int]()
    for number, row in read_csv(path, required=("utt", "clean", "speaker"), optional=("text", "part"), ignore=True):
        for name in ("utt", "clean", "speaker"):
            if not row[name] or (name != "clean" and len(row[name].split()) != 1):
                raise DataError(f"{path}, line {number}: {name} is '{row[name]}': it must be one word")
        speaker, utt = row["speaker"], row["utt"]
        name = utt if utt.startswith(speaker) else f"{speaker}-{utt}"
        if "/" in name or lines.setdefault(name, number) != number:
            fault = "must hold no '/'" if "/" in name else f"comes twice, first in line {lines[name]}"
            raise DataError(f"{path}, line {number}: the id '{name}' {fault}: files are named by it")
        audio = locate(path.parent, row["clean"])
        try:
            check_is_file(audio)
        except AudioError as error:
            # A path by itself does not tell which table names it.
            raise DataError(f"{path}, line {number}: {error}") from None
        found.append(Speech(name, speaker, row.get("part", ""), audio, row.get("text", "")))
    return found


def deal(
    speech: Sequence[Speech],
    *,
    parts: Mapping[str, Sequence[str]],
    speakers: Mapping[str, Sequence[Any] | float],
    seed: int,
) -> dict[str, list[Speech]]:
    """Deal speech to train, dev and test so that no speaker is in two of them.

    Args:
        speech: All of it.
        parts: Split -> parts of the corpus that its speakers are taken from; a split that is not named takes them
            from everywhere.
        speakers: Split -> speakers by name, or a share of those of its parts, which are drawn.
        seed: Of the draw.

    Returns:
        Speech by split. Speakers named come first, then the shares of test and dev; a split with parts alone has who
        is left there, and train has the rest.

    Raises:
        OptionError: For a speaker, a part or a split that does not exist, or a share that is none.
        DataError: When a split that is asked for has no speaker left.

    Example:
        >>> said = [Speech(f"{who}-1", who, "a", Path("x")) for who in "pqrs"]
        >>> {k: [s.speaker for s in v] for k, v in deal(said, parts={}, speakers={"test": ["q"]}, seed=0).items()}
        {'train': ['p', 'r', 's'], 'test': ['q']}
    """
    if unknown := sorted({*parts, *speakers} - {*SPLITS}):
        raise OptionError(f"noisy_speech: '{unknown[0]}' is no split: choose from {', '.join(SPLITS)}")
    known_parts, everyone = {s.part for s in speech}, {s.speaker for s in speech}
    for split, names in parts.items():
        if missing := [name for name in names if name not in known_parts]:
            raise OptionError(f"noisy_speech: parts: {split}: no speech of '{missing[0]}' is there")
    pools = {
        split: sorted({s.speaker for s in speech if split not in parts or s.part in parts[split]}) for split in SPLITS
    }
    dealt: dict[str, str] = {}
    listed = {split: who for split, who in speakers.items() if not _is_share(who, split)}
    named = {split: [str(name) for name in who] for split, who in listed.items() if isinstance(who, Sequence)}
    for split, names in named.items():
        for name in names:
            if name not in everyone:
                raise OptionError(f"noisy_speech: speakers: {split}: there is no speaker '{name}'")
            if dealt.setdefault(name, split) != split:
                raise OptionError(f"noisy_speech: speaker '{name}' is named for {dealt[name]} and for {split}")
    for split in ("test", "dev", "train"):
        if split in speakers and split not in named:
            free = [name for name in pools[split] if name not in dealt]
            count = min(max(round(float(speakers[split]) * len(pools[split])), 1), len(free))  # type: ignore[arg-type]
            chosen = named_rng(seed, f"speakers {split}").permutation(len(free))[:count]
            dealt.update({free[i]: split for i in chosen})
    for split in ("test", "dev", "train"):
        if split not in speakers and (split in parts or split == "train"):
            dealt.update({name: split for name in pools[split] if name not in dealt})
    found: dict[str, list[Speech]] = {}
    for split in SPLITS:
        if split in parts or split in speakers or split == "train":
            pool = {*pools[split]}
            found[split] = [
                s
                for s in speech
                if dealt.get(s.speaker) == split
                and s.speaker in pool
                and (split not in parts or s.part in parts[split])
            ]
            if not found[split]:
                raise DataError(f"noisy_speech: no speaker is left for {split}: {len(everyone)} are there in all")
    return found


def _is_share(value: Sequence[Any] | float, split: str) -> bool:
    """Whether speakers are given as a share of all."""
    if isinstance(value, (list, tuple)):
        return False
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1:
        return True
    raise OptionError(f"noisy_speech: speakers: {split}: {value!r} is neither a list nor a share between 0 and 1")
