"""A corpus of one's own: a CSV file per set."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from local.common.audio import AudioInfo, inspect
from local.common.kaldi_dir import DataError, Utterance
from local.common.parallel import parallel_map
from local.common.steps import Step
from local.common.text import normalise
from local.corpora.corpus import STAGE, Corpus, Estimate, Spec, Work, dealt, register_corpus, write_report
from local.corpora.mixing import snr_class

REQUIRED = ("utt", "clean", "noisy", "text", "speaker")
OPTIONAL = ("noise", "snr")


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the CSV of a set.

    Args:
        path: With a header: utt (the id), clean and noisy (audio files; relative ones count from the CSV's
            folder), text, speaker; and perhaps noise (its type, one word) and snr (in dB).

    Returns:
        A mapping per row.

    Raises:
        DataError: When the file or a column is missing, a column is unknown, or a field is empty.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing: write it with the columns {','.join(REQUIRED)}")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        if missing := [name for name in REQUIRED if name not in columns]:
            raise DataError(f"{path} has no column '{missing[0]}': needed are {','.join(REQUIRED)}")
        if unknown := sorted(columns - {*REQUIRED, *OPTIONAL}):
            raise DataError(f"{path}: unknown column '{unknown[0]}' (optional are {','.join(OPTIONAL)})")
        rows = []
        for row in reader:
            if empty := [name for name in REQUIRED if not (row[name] or "").strip()]:
                raise DataError(f"{path}, line {reader.line_num}: '{empty[0]}' is empty")
            rows.append({name: (value or "").strip() for name, value in row.items()})
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows


def _inspect_pair(task: tuple[Path, Path]) -> AudioInfo:
    clean, noisy = task
    info = inspect(clean)
    other = inspect(noisy, rate=info.rate)
    if other.frames != info.frames:
        raise DataError(f"{noisy} has {other.frames} samples and {clean} has {info.frames}: the pair is not aligned")
    return info


def _category(row: Mapping[str, str], where: str) -> str:
    """Noise type and SNR as far as they are known."""
    noise, snr = row.get("noise", ""), row.get("snr", "")
    try:
        level = f"{float(snr):g}dB" if noise and snr else snr_class(float(snr)) if snr else ""
    except ValueError:
        raise DataError(f"{where}: '{snr}' is not an SNR in dB") from None
    return "_".join(part for part in (noise, level) if part) or "all"


def utterances(path: Path, *, input: str = "noisy", nj: int = 1) -> list[Utterance]:
    """List a set.

    Args:
        path: Its CSV, see `read_rows`.
        input: "noisy", or "clean" to see what enhancement does to clean speech.
        nj: Parallel processes.

    Returns:
        The utterances. Ids that do not begin with the speaker get him as a prefix; transcripts are
        normalised.

    Raises:
        DataError: When the CSV or a pair has a fault.
        AudioError: When a file cannot be used.
    """
    rows = read_rows(path)
    pairs = [(path.parent / row["clean"], path.parent / row["noisy"]) for row in rows]
    infos = parallel_map(_inspect_pair, pairs, nj=nj, description=f"check {path.stem}")
    found = []
    for row, (clean, noisy), info in zip(rows, pairs, infos, strict=True):
        name, speaker, quiet = row["utt"], row["speaker"], input == "clean"
        found.append(
            Utterance(
                id=name if name.startswith(speaker) else f"{speaker}-{name}",
                speaker=speaker,
                wav=str(clean if quiet else noisy),
                references=(str(clean),),
                texts=(normalise(row["text"]),),
                category="clean" if quiet else _category(row, f"{path}, utterance '{name}'"),
                samples=info.frames,
                rate=info.rate,
                details={} if quiet else {key: row[key] for key in OPTIONAL if row.get(key)},
            )
        )
    return found


@register_corpus("custom")
class Custom(Corpus):
    """A corpus of one's own; the parts are the names of its tables."""

    variables = ("CUSTOM",)

    def _table(self, part: str) -> Path:
        return self.root / f"{part}.csv"

    def prepare(self, specs: Collection[Spec]) -> Iterable[Work]:
        """A look through the tables."""
        tables = [self._table(part) for (part,) in dealt(specs, "part")]
        # The tables are the user's own: a change in them is a change of settings.
        content = {path.name: _content(path) for path in tables}
        step = Step("custom", stage=STAGE, out=self.made, settings=content, outputs=("report.json",))
        yield step, lambda: write_report(step.out / "report.json", {str(path): len(read_rows(path)) for path in tables})

    def utterances(self, *, part: str, input: str = "noisy") -> list[Utterance]:
        """List a table, see `utterances`."""
        return utterances(self._table(part), input=input, nj=self.nj)

    def estimate(self, spec: Spec, hours: float | None = None) -> Estimate:
        """As long as its files are, where they are there already."""
        table = self._table(spec["part"])
        if not table.is_file():
            return Estimate(note=f"your own corpus: {table} is not there, so its size is not in the figures below")
        return Estimate(sum(utterance.seconds for utterance in utterances(table, nj=self.nj)) / 3600)


def _content(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
