"""Kaldi-style data directories: read, write, validate, combine."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from local.common.errors import RecipeError
from local.common.output import atomic_path

# ESPnet's joint task takes these endings of an utterance id as an instruction.
_RESERVED_ENDINGS = ("CLEAN", "REAL")


# Stands for the transcript of an utterance that has none: such a one trains front-ends, and nothing that needs words.
NO_TRANSCRIPT = "<no_transcript>"
# Below a data directory: its utterances that have a transcript, where not all have one.
TRANSCRIBED = "transcribed"
_DIGITS = 19


class DataError(RecipeError):
    """A data directory that cannot be used."""


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One utterance of a set.

    Args:
        id: Unique in the set, starting with the speaker for Kaldi's sake.
        speaker: Who speaks (the first speaker of a mixture).
        wav: The input signal: an audio file, or `archive:offset` in a dump.
        references: The clean signal of each speaker.
        texts: What each speaker says.
        noise: The noise alone, where there is such a file.
        category: The condition, for results by condition.
        samples: Length of the input, in samples of `rate`.
        rate: Of the audio files, in Hz.
        details: More columns for the manifest, e.g. noise and SNR.
    """

    id: str
    speaker: str
    wav: str
    references: tuple[str, ...]
    texts: tuple[str, ...]
    category: str
    samples: int
    rate: int
    noise: str | None = None
    details: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def signals(self) -> dict[str, str]:
        """Where its signals are: `wav`, `spk1` and so on, `noise1` where there is one."""
        references = {f"spk{i}": reference for i, reference in enumerate(self.references, start=1)}
        return {"wav": self.wav, **references, **({} if self.noise is None else {"noise1": self.noise})}

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.samples / self.rate

    @property
    def transcribed(self) -> bool:
        """Whether it is known what is said."""
        return NO_TRANSCRIPT not in self.texts


def read_text(path: Path) -> str:
    """Read a file of text.

    Raises:
        DataError: When it is missing, or not UTF-8, with the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8; the file is damaged or of another encoding") from None


def read_table(path: Path) -> dict[str, str]:
    """Read a file of `key value` lines.

    Args:
        path: Like wav.scp or utt2spk; the value is everything after the first white space.

    Returns:
        Values by key, in the file's order.

    Raises:
        DataError: For a missing file, a line without a value or a key that comes twice, with its line.
    """
    table: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split(maxsplit=1)
        if len(fields) != 2:
            raise DataError(f"{path}, line {number}: '{line}' has no value")
        if fields[0] in table:
            raise DataError(f"{path}, line {number}: '{fields[0]}' comes twice")
        table[fields[0]] = fields[1]
    return table


def write_table(path: Path, table: Mapping[str, str]) -> None:
    """Write `key value` lines, sorted by key, all or nothing."""
    with atomic_path(path) as tmp:
        tmp.write_text("".join(f"{key} {table[key]}\n" for key in sorted(table)), encoding="utf-8")


def _columns(utterances: Sequence[Utterance]) -> dict[str, Callable[[Utterance], str]]:
    """The files of a directory, each with what it says of an utterance."""
    columns: dict[str, Callable[[Utterance], str]] = {
        "wav.scp": lambda u: u.wav,
        "utt2spk": lambda u: u.speaker,
        "utt2category": lambda u: u.category,
        "utt2num_samples": lambda u: str(u.samples),
    }
    for i in range(len(utterances[0].references)):
        columns |= _speaker_columns(i)
    if utterances[0].noise is not None:
        columns["noise1.scp"] = lambda u: u.noise or ""
    return columns


def _speaker_columns(i: int) -> dict[str, Callable[[Utterance], str]]:
    return {f"spk{i + 1}.scp": lambda u: u.references[i], f"text_spk{i + 1}": lambda u: u.texts[i]}


def check(utterances: Sequence[Utterance], *, name: str) -> None:
    """Insist on what training and scoring rely on.

    Args:
        utterances: Of one set.
        name: The set's name, for the messages.

    Raises:
        DataError: For the first fault, naming the utterance.
    """
    if not utterances:
        raise DataError(f"set '{name}' has no utterances")
    seen: set[str] = set()
    first = utterances[0]
    for u in utterances:
        where = f"set '{name}', utterance '{u.id}'"
        if u.id in seen:
            raise DataError(f"{where}: the id comes twice")
        seen.add(u.id)
        if not u.id or len(u.id.split()) != 1:
            raise DataError(f"{where}: an id must be one word")
        if "/" in u.id:
            # The file of its enhanced audio is named by it: a/1 and b/1 would be one file.
            raise DataError(f"{where}: an id must hold no '/'")
        if u.id.endswith(_RESERVED_ENDINGS):
            raise DataError(f"{where}: an id must not end in {' or '.join(_RESERVED_ENDINGS)} (ESPnet reads it)")
        if len(u.speaker.split()) != 1 or not u.id.startswith(u.speaker):
            raise DataError(f"{where}: the id must begin with its speaker, '{u.speaker}'")
        if len(u.texts) != len(u.references) or len(u.references) != len(first.references):
            raise DataError(f"{where}: {len(u.texts)} texts and {len(u.references)} references")
        if any(not text.strip() for text in u.texts):
            raise DataError(f"{where}: the transcript is empty")
        if (u.noise is None) != (first.noise is None):
            raise DataError(f"{where}: some utterances have a noise signal and some have not")
        if u.samples <= 0:
            raise DataError(f"{where}: it has no samples")
        if len(u.category.split()) != 1:
            raise DataError(f"{where}: the category '{u.category}' must be one word")


def write(directory: Path, utterances: Iterable[Utterance], *, categories: bool = True) -> list[Utterance]:
    """Check a set and write its directory.

    Args:
        directory: Where wav.scp, spk1.scp, text_spk1, utt2spk, spk2utt, utt2category, utt2num_samples and
            manifest.csv shall stand. Each file is replaced as a whole; nothing is written when the set does
            not pass.
        utterances: In any order.
        categories: Whether utt2category is written. ESPnet's trainers, where they find it beside the data,
            keep every batch within one category, which with many conditions makes batches small.

    Returns:
        The utterances as written, sorted.

    Raises:
        DataError: When the set does not pass `check`.
    """
    ordered = sorted(utterances, key=lambda u: u.id)
    check(ordered, name=directory.name)
    columns = _columns(ordered)
    if not categories:
        del columns["utt2category"]
    for name, value in columns.items():
        write_table(directory / name, {u.id: value(u) for u in ordered})
    write_table(directory / "spk2utt", _by_speaker({u.id: u.speaker for u in ordered}))
    with atomic_path(directory / "manifest.csv") as tmp:
        _write_manifest(tmp, ordered)
    return ordered


def write_transcribed(directory: Path, utterances: Sequence[Utterance]) -> Path:
    """Write beside a set, where some of its utterances have no transcript, the list of those that have one.

    Args:
        directory: Of the set; the list is below it.
        utterances: The whole set.

    Returns:
        The directory to read where transcripts are needed.

    Raises:
        DataError: When no utterance has a transcript.
    """
    known = [u for u in utterances if u.transcribed]
    if len(known) == len(utterances):
        return directory
    if not known:
        raise DataError(f"no utterance of '{directory.name}' has a transcript: a recognizer cannot be trained on it")
    write(directory / TRANSCRIBED, known, categories=False)
    return directory / TRANSCRIBED


def transcribed(directory: Path) -> Path:
    """The directory to read of a set where transcripts are needed."""
    own = directory / TRANSCRIBED
    return own if own.is_dir() else directory


def _by_speaker(utt2spk: Mapping[str, str]) -> dict[str, str]:
    spk2utt: dict[str, list[str]] = {}
    for utterance, speaker in utt2spk.items():
        spk2utt.setdefault(speaker, []).append(utterance)
    return {speaker: " ".join(sorted(ids)) for speaker, ids in spk2utt.items()}


def _write_manifest(path: Path, utterances: Sequence[Utterance]) -> None:
    extra = sorted({key for u in utterances for key in u.details})
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["utterance", "speaker", "category", "samples", "rate", *extra])
        for u in utterances:
            details = [u.details.get(key, "") for key in extra]
            writer.writerow([u.id, u.speaker, u.category, u.samples, u.rate, *details])


def read(directory: Path) -> list[Utterance]:
    """Read a directory that `write` made.

    Args:
        directory: With wav.scp and its companions.

    Returns:
        Its utterances, sorted by id.

    Raises:
        DataError: When a file is missing, or two files do not hold the same utterances.
    """
    wav = read_table(directory / "wav.scp")
    names = ["utt2spk", "utt2num_samples"]
    found = {path.name.partition(".")[0].removeprefix("text_") for path in _of_speakers(directory)}
    # A speaker whose list is lost must not be one fewer speaker.
    speakers = sorted({"spk1", *found})
    names += [f"{s}.scp" for s in speakers] + [f"text_{s}" for s in speakers]
    names += [name for name in ("noise1.scp", "utt2category") if (directory / name).exists()]
    tables = {name: read_table(directory / name) for name in names}
    for name, table in tables.items():
        for missing in sorted(wav.keys() ^ table.keys())[:1]:
            raise DataError(f"{directory}: '{missing}' stands in only one of wav.scp and {name}")
    manifest = directory / "manifest.csv"
    if not manifest.is_file():
        raise DataError(f"{manifest} is missing")
    rows = _read_manifest(manifest, wav)
    fixed = ("speaker", "category", "samples", "rate")
    return [
        Utterance(
            id=key,
            speaker=tables["utt2spk"][key],
            wav=wav[key],
            references=tuple(tables[f"{s}.scp"][key] for s in speakers),
            texts=tuple(tables[f"text_{s}"][key] for s in speakers),
            noise=tables["noise1.scp"][key] if "noise1.scp" in tables else None,
            category=rows[key]["category"],
            samples=_whole(tables["utt2num_samples"][key], directory / "utt2num_samples", key),
            rate=_whole(rows[key]["rate"], manifest, key),
            details={k: v for k, v in rows[key].items() if k not in fixed and v},
        )
        for key in sorted(wav)
    ]


def _of_speakers(directory: Path) -> list[Path]:
    return [*directory.glob("spk[0-9].scp"), *directory.glob("text_spk[0-9]")]


def _read_manifest(path: Path, expected: Collection[str]) -> dict[str, dict[str, str]]:
    """Its rows by utterance."""
    fixed = {"utterance", "speaker", "category", "samples", "rate"}
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    rows: dict[str, dict[str, str]] = {}
    try:
        if missing := sorted(fixed - {*(reader.fieldnames or ())}):
            raise DataError(f"{path} has no column '{missing[0]}'")
        for row in reader:
            if None in row or None in row.values():
                raise DataError(f"{path}, line {reader.line_num}: not as many fields as the header has")
            utterance = row.pop("utterance")
            if utterance in rows:
                raise DataError(f"{path}, line {reader.line_num}: '{utterance}' comes twice")
            rows[utterance] = row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    if missing := sorted({*expected} - rows.keys()):
        raise DataError(f"{path} has no row for '{missing[0]}'")
    return rows


def _whole(value: str, path: Path, key: str) -> int:
    """A positive whole number."""
    # More digits than any file has samples are not read as a number.
    if not (value.isascii() and value.isdigit() and len(value) < _DIGITS and int(value) > 0):
        raise DataError(f"{path}: '{key}' has '{value[:_DIGITS]}', which is no positive whole number")
    return int(value)


def left_out(parts: Mapping[str, Sequence[Utterance]]) -> str:
    """Say what `combine` leaves out, since not all of the sets have it.

    Args:
        parts: Utterances by the set's name.

    Returns:
        A sentence; empty where nothing is left out.

    Example:
        >>> one = Utterance("a-1", "a", "1.wav", ("c.wav",), ("HI",), "quiet", 16000, 16000)
        >>> two = dataclasses.replace(one, references=("c.wav", "d.wav"), texts=("HI", "HO"), noise="n.wav")
        >>> left_out({"x": [one], "y": [two]})
        'not all sets have the noise alone (y has), 2 speakers (y has): left out'
    """
    counts = {name: max((len(u.references) for u in utterances), default=0) for name, utterances in parts.items()}
    with_noise = [name for name, utterances in parts.items() if any(u.noise is not None for u in utterances)]
    more = [name for name, count in counts.items() if count > min(counts.values())]
    told = [f"the noise alone ({', '.join(with_noise)} has)"] if 0 < len(with_noise) < len(parts) else []
    told += [f"{max(counts.values())} speakers ({', '.join(more)} has)"] if more else []
    return f"not all sets have {', '.join(told)}: left out" if told else ""


def combine(parts: Mapping[str, Sequence[Utterance]]) -> list[Utterance]:
    """Put sets together.

    Args:
        parts: Utterances by the set's name.

    Returns:
        All of them, sorted. Where an id occurs in two sets, or speakers of two sets bear one name, all
        ids and speakers get the set's name as a prefix. What only some sets have (a noise signal, further
        speakers) is left out.

    Example:
        >>> one = Utterance("a-1", "a", "1.wav", ("c.wav",), ("HI",), "quiet", 16000, 16000)
        >>> [u.id for u in combine({"x": [one], "y": [one]})]
        ['x-a-1', 'y-a-1']
    """
    ids = [u.id for utterances in parts.values() for u in utterances]
    speakers = [s for utterances in parts.values() for s in {u.speaker for u in utterances}]
    prefixed = len(set(ids)) < len(ids) or len(set(speakers)) < len(speakers)
    everyone = [u for utterances in parts.values() for u in utterances]
    with_noise = all(u.noise is not None for u in everyone)
    count = min((len(u.references) for u in everyone), default=0)
    combined = []
    for name, utterances in parts.items():
        prefix = f"{name}-" if prefixed else ""
        for u in utterances:
            combined.append(
                dataclasses.replace(
                    u,
                    id=prefix + u.id,
                    speaker=prefix + u.speaker,
                    references=u.references[:count],
                    texts=u.texts[:count],
                    noise=u.noise if with_noise else None,
                    details={**u.details, "set": name},
                )
            )
    return sorted(combined, key=lambda u: u.id)
