"""LibriSpeech and Mini LibriSpeech (Panayotov et al., 2015; openslr 12 and 31): transcripts, speakers, parts."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from local.common.audio import SAMPLE_RATE, inspect
from local.common.kaldi_dir import DataError, Utterance, read_text
from local.common.parallel import parallel_map
from local.corpora.corpus import Published, Spec, register_corpus, some

_STEM = re.compile(r"\d+-\d+-\d{4}")


@lru_cache(maxsize=256)
def chapter_transcripts(path: Path) -> dict[str, str]:
    """Read the transcripts of a chapter.

    Args:
        path: `<speaker>-<chapter>.trans.txt`, lines of `utterance TEXT`.

    Returns:
        Text by utterance.

    Raises:
        DataError: When the file is missing or a line has no text.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing: unpack the LibriSpeech archive again")
    texts: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        name, _, text = line.partition(" ")
        if not text.strip():
            raise DataError(f"{path}, line {number}: utterance '{name}' has no transcript")
        if texts.setdefault(name, text.strip()) != text.strip():
            raise DataError(f"{path}, line {number}: utterance '{name}' comes twice, with different transcripts")
    return texts


def transcript(audio: Path) -> str:
    """What is said in a file of LibriSpeech.

    Args:
        audio: `<part>/<speaker>/<chapter>/<utterance>.flac`.

    Raises:
        DataError: When the chapter's list does not have it.
    """
    chapter = audio.with_name(f"{audio.parent.parent.name}-{audio.parent.name}.trans.txt")
    try:
        return chapter_transcripts(chapter)[audio.stem]
    except KeyError:
        raise DataError(f"{chapter} has no line for {audio.stem}") from None


def known_transcript(audio: Path) -> str | None:
    """What is said in a file of LibriSpeech; None in a tree that lacks its transcript."""
    chapter = audio.with_name(f"{audio.parent.parent.name}-{audio.parent.name}.trans.txt")
    return chapter_transcripts(chapter).get(audio.stem) if chapter.is_file() else None


def utterance_path(root: Path, part: str, name: str) -> Path:
    """Where an utterance lies.

    Example:
        >>> utterance_path(Path("LibriSpeech"), "dev-clean", "84-121123-0000").as_posix()
        'LibriSpeech/dev-clean/84/121123/84-121123-0000.flac'

    Raises:
        DataError: When it is not named like one.
    """
    if not _STEM.fullmatch(name):
        raise DataError(f"'{name}' is not named like an utterance of LibriSpeech (84-121123-0000)")
    speaker, chapter, _ = name.split("-")
    return root / part / speaker / chapter / f"{name}.flac"


def speakers(root: Path) -> dict[str, dict[str, str]]:
    """Read SPEAKERS.TXT.

    Args:
        root: The folder LibriSpeech/.

    Returns:
        Speaker -> sex, subset, minutes, name. A name may contain the separator: that of speaker 60 does.
    """
    table = {}
    for line in (root / "SPEAKERS.TXT").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith(";"):
            fields = [field.strip() for field in line.split("|", 4)]
            table[fields[0]] = dict(zip(("sex", "subset", "minutes", "name"), fields[1:], strict=True))
    return table


def files(root: Path, part: str) -> list[Path]:
    """The audio files of a part, sorted.

    Raises:
        DataError: When the part is missing or a file is not named like an utterance.
    """
    if not (root / part).is_dir():
        raise DataError(f"{root / part} is missing: unpack {part}.tar.gz there")
    paths = sorted(path for path in (root / part).rglob("*.flac") if not path.name.startswith("."))
    strange = [path for path in paths if not _STEM.fullmatch(path.stem)]
    if strange:
        raise DataError(f"{strange[0]} is not named like an utterance of LibriSpeech (84-121123-0000.flac)")
    if not paths:
        raise DataError(f"{root / part} holds no .flac file")
    return paths


def _utterance(path: Path) -> Utterance:
    info = inspect(path, rate=SAMPLE_RATE)
    return Utterance(
        id=path.stem,
        speaker=path.stem.split("-")[0],
        wav=str(path),
        references=(str(path),),
        texts=(transcript(path),),
        category="clean",
        samples=info.frames,
        rate=info.rate,
    )


def utterances(root: Path, part: str, *, nj: int = 1) -> list[Utterance]:
    """List a part as clean speech.

    Args:
        root: The folder LibriSpeech/.
        part: E.g. "dev-clean"; Mini LibriSpeech has "train-clean-5" and "dev-clean-2".
        nj: Parallel processes.

    Returns:
        The utterances, in order.

    Raises:
        DataError: When a part, a transcript or a line is missing.
        AudioError: When a file cannot be used.
    """
    return list(parallel_map(_utterance, files(root, part), nj=nj, description=f"check {part}"))


@register_corpus("librispeech")
class LibriSpeech(Published):
    """Clean speech; the parts are those of the corpus."""

    folder = "LibriSpeech"
    variables = ("LIBRISPEECH",)

    def requires(self, spec: Spec) -> dict[str, frozenset[str]]:
        """The part."""
        return {self.name: frozenset([spec["part"]])}

    def verify(self, root: Path, parts: Collection[str]) -> dict[str, int]:
        """See that every part has all of its files, each with a transcript."""
        found = {}
        for part in sorted(parts):
            audio = {path.stem for path in files(root, part)}
            texts = {name for path in (root / part).rglob("*.trans.txt") for name in chapter_transcripts(path)}
            if missing := texts - audio:
                raise DataError(f"{root / part} lacks {len(missing)} files that have a transcript: {some(missing)}")
            if missing := audio - texts:
                raise DataError(f"{root / part}: {len(missing)} files have no transcript: {some(missing)}")
            expected = self.entry.facts["utterances"].get(part, len(audio))
            if len(audio) != expected:
                raise DataError(f"{root / part} has {len(audio)} utterances of {expected}: unpack {part}.tar.gz again")
            found[part] = len(audio)
        return found

    def utterances(self, *, part: str) -> list[Utterance]:
        """List a part, see `utterances`."""
        return utterances(self.root, part, nj=self.nj)
