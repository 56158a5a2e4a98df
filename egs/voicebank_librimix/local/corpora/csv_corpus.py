"""A corpus of one's own: a CSV file per set."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from local.common.audio import AudioError, AudioInfo, inspect
from local.common.csv_table import locate, read_csv
from local.common.fingerprints import digest_of
from local.common.kaldi_dir import NO_TRANSCRIPT, DataError, Utterance
from local.common.parallel import parallel_map
from local.common.steps import Step
from local.common.text import normalize
from local.corpora.contents import KEPT, contents_of
from local.corpora.corpus import STAGE, Corpus, Estimate, Spec, Work, dealt, register_corpus, write_report
from local.corpora.mixing import read_snr, snr_class

REQUIRED = ("utt", "clean", "noisy", "text", "speaker")
OPTIONAL = ("noise", "snr")


def read_rows(path: Path, *, transcripts: bool = True, ignore: bool = False) -> list[dict[str, str]]:
    """Read the table of a set.

    Args:
        path: With a header: utt (the id), clean and noisy (audio files; relative ones count from the table's
            folder), text, speaker; and perhaps noise (its type, one word) and snr (in dB). See `read_csv`.
        transcripts: Whether every row must have a text.
        ignore: Whether further columns are passed over.

    Returns:
        A mapping per row.

    Raises:
        DataError: When the file or a column is missing, a column is unknown, or a field is empty or shifted.
    """
    rows = read_csv(path, required=REQUIRED, optional=OPTIONAL, ignore=ignore)
    filled = [name for name in REQUIRED if transcripts or name != "text"]
    for number, row in rows:
        if empty := [name for name in filled if not row[name]]:
            raise DataError(f"{path}, line {number}: '{empty[0]}' is empty")
        for name in ("utt", "speaker"):
            if len(row[name].split()) != 1:
                raise DataError(
                    f"{path}, line {number}: {name} is '{row[name]}', which is not one word: "
                    "has the text before it a separator and no quotation marks?"
                )
    return [row for _, row in rows]


def _inspect_pair(task: tuple[Path, Path, str]) -> AudioInfo:
    clean, noisy, where = task
    try:
        info = inspect(clean)
        other = inspect(noisy, rate=info.rate)
    except AudioError as error:
        # A path by itself does not tell which table names it.
        raise AudioError(f"{where}: {error}") from None
    if other.frames != info.frames:
        raise DataError(
            f"{where}: {noisy} has {other.frames} samples and {clean} has {info.frames}: the pair is not aligned"
        )
    return info


def _category(row: Mapping[str, str], where: str) -> str:
    """Noise type and SNR as far as they are known."""
    noise, snr = row.get("noise", ""), row.get("snr", "")
    # A spreadsheet writes the decimal sign of its country.
    value = read_snr(snr.replace(",", "."), where=where) if snr else None
    level = "" if value is None else f"{value:g}dB" if noise else snr_class(value)
    return "_".join(part for part in (noise, level) if part) or "all"


def utterances(path: Path, *, input: str = "noisy", nj: int = 1) -> list[Utterance]:
    """List a set.

    Args:
        path: Its table, see `read_rows`.
        input: "noisy", or "clean" to see what enhancement does to clean speech.
        nj: Parallel processes.

    Returns:
        The utterances. Ids that do not begin with the speaker get him as a prefix; transcripts are
        normalized.

    Raises:
        DataError: When the table or a pair has a fault.
        AudioError: When a file cannot be used.
    """
    return from_rows(read_rows(path), path, input=input, nj=nj)


def from_rows(rows: Sequence[Mapping[str, str]], path: Path, *, input: str, nj: int) -> list[Utterance]:
    """Make utterances of the rows of a table; see `utterances`. A row without a text has no transcript."""
    pairs = [(locate(path.parent, row["clean"]), locate(path.parent, row["noisy"])) for row in rows]
    tasks = [(*pair, f"{path}, utterance '{row['utt']}'") for row, pair in zip(rows, pairs, strict=True)]
    infos = list(parallel_map(_inspect_pair, tasks, nj=nj, description=f"check {path.stem}"))
    found = []
    for row, (clean, noisy), info in zip(rows, pairs, infos, strict=True):
        name, speaker, quiet = row["utt"], row["speaker"], input == "clean"
        text = normalize(row["text"]) if row["text"] else NO_TRANSCRIPT
        if not text:
            raise DataError(f"{path}, utterance '{name}': no word in its text '{row['text']}'")
        found.append(
            Utterance(
                id=name if name.startswith(speaker) else f"{speaker}-{name}",
                speaker=speaker,
                wav=str(clean if quiet else noisy),
                references=(str(clean),),
                texts=(text,),
                category="clean" if quiet else _category(row, f"{path}, utterance '{name}'"),
                samples=info.frames,
                rate=info.rate,
                details={} if quiet else {key: row[key].replace(",", ".") for key in OPTIONAL if row.get(key)},
            )
        )
    return found


@register_corpus("custom")
class Custom(Corpus):
    """A corpus of one's own; the parts are the names of its tables."""

    variables = ("CUSTOM",)
    settings = ()

    def _table(self, part: str) -> Path:
        return self.root / f"{part}.csv"

    def prepare(self, specs: Collection[Spec]) -> Iterable[Work]:
        """A look through the tables."""
        tables = [self._table(part) for (part,) in dealt(specs, "part")]
        # The tables and their audio are the user's own: a change in them is a change of settings.
        content = {path.name: content_of(path, kept=self.made / KEPT, nj=self.nj) for path in tables}
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
        listed = utterances(table, nj=self.nj)
        return Estimate(sum(utterance.seconds for utterance in listed) / 3600, utterances=len(listed))


def content_of(
    path: Path, *, columns: Sequence[str] = ("clean", "noisy"), kept: Path, nj: int = 1
) -> dict[str, str | None]:
    """What identifies a table by what it and its audio hold.

    Args:
        path: The table. Where it is not there or has a fault, its audio is left out: the step that reads it says so.
        columns: Which name files.
        kept: See `contents_of`.
        nj: Files read at once.
    """
    found = contents_of({"table": path}, kept=kept)
    try:
        rows = [row for _, row in read_csv(path, required=columns, ignore=True)]
        files = {row[name]: locate(path.parent, row[name]) for row in rows for name in columns if row[name]}
    except DataError:
        return found
    return {**found, "audio": digest_of(contents_of(files, kept=kept, nj=nj))}
