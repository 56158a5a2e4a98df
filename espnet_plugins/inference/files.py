"""Files and folders in, results out: progress, resume, failures that stop nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from espnet_plugins.inference.audio import AudioError, duration, is_audio_name
from espnet_plugins.inference.provenance import Ledger

# Below 1, tqdm's own rate turns round, to seconds per unit.
_BAR = "{l_bar}{bar}| {n:.1f}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_noinv_fmt}]"


@dataclass(frozen=True)
class Job:
    """One file to work on.

    Args:
        source: The audio file.
        targets: Where its results go, one for each speaker.
    """

    source: Path
    targets: tuple[Path, ...]

    @property
    def gain_file(self) -> Path:
        """Where the gain of its results is written, if they had to be made softer."""
        return self.targets[0].with_suffix(".gain")


def find_jobs(inputs: Sequence[str | os.PathLike[str]], out: Path, suffixes: Sequence[str]) -> list[Job]:
    """Find the audio files of files and folders; how many others lie in a folder is told.

    Args:
        inputs: Files, and folders that are searched for files with the endings of audio.
        out: Where results go; below it, a folder's own structure is kept.
        suffixes: Endings of an input's results, with their dots: [".wav"], ["_spk1.wav", "_spk2.wav"].

    Returns:
        A job per file.

    Raises:
        FileNotFoundError: For an input that is not there, or a folder without audio.
        ValueError: When two inputs would have one result, or a result would replace its input, or results lie in the
            input.
    """
    sources: dict[tuple[Path, ...], Path] = {}
    for source, relative in (pair for name in inputs for pair in _audio_below(Path(name), out)):
        targets = tuple(out / relative.with_name(relative.stem + suffix) for suffix in suffixes)
        if targets in sources and sources[targets].resolve() != source.resolve():
            raise ValueError(
                f"{sources[targets]} and {source} would both become {targets[0]}: give each an --out of its own"
            )
        if any(target.resolve() == source.resolve() for target in targets):
            raise ValueError(f"{source}: its result would replace it; give another folder as --out")
        sources[targets] = source
    return [Job(source, targets) for targets, source in sources.items()]


def find_audio(inputs: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Find the audio files of files and folders, each once.

    Raises:
        FileNotFoundError: As find_jobs().
    """
    found = (file for name in inputs for file, _ in _audio_below(Path(name), None))
    return list({file.resolve(): file for file in found}.values())


def _audio_below(path: Path, out: Path | None) -> Iterator[tuple[Path, Path]]:
    if path.is_file():
        yield path, Path(path.name)
        return
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder")
    inside_out = None if out is None else out.resolve()
    if inside_out == path.resolve():
        raise ValueError(f"--out {out} is the input; give another folder")
    files = [file for file in _files_below(path) if inside_out not in file.resolve().parents]
    found = sorted(file for file in files if is_audio_name(file.name))
    others = _some_of([str(file.relative_to(path)) for file in files if not is_audio_name(file.name)])
    if not found:
        if inside_out in path.resolve().parents:
            raise ValueError(f"--out {out} holds the input {path}; give another folder")
        raise FileNotFoundError(f"{path}: holds no audio files" + (f", only {others}" if others else ""))
    if others:
        print(f"{path}: left aside as no audio: {others}", file=sys.stderr)
    for file in found:
        yield file, file.relative_to(path)


def _some_of(names: Sequence[str], *, most: int = 3) -> str:
    """How many files, and which: a few of them."""
    if not names:
        return ""
    shown = ", ".join(sorted(names)[:most]) + (", ..." if len(names) > most else "")
    return f"{len(names)} file{'s' * (len(names) > 1)} ({shown})"


def _files_below(folder: Path) -> Iterator[Path]:
    """The files below a folder but hidden ones, which programs keep for themselves."""

    def refuse(error: OSError) -> None:
        raise error

    seen = set()
    for name, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        # A link may lead upwards.
        if (real := os.path.realpath(name)) in seen:
            folders.clear()
            continue
        seen.add(real)
        for file in (Path(name, file) for file in files if not file.startswith(".")):
            # A link to nothing is a file that cannot be read; what is neither (a pipe, ...) is left alone.
            if file.is_file() or file.is_symlink():
                yield file


def run_jobs(
    jobs: Sequence[Job], work: Callable[[Job], None], ledger: Ledger, *, overwrite: bool = False
) -> dict[Job, str]:
    """Work on every file whose result is not there yet, the time left on display.

    Args:
        jobs: The files.
        work: Writes a job's results.
        ledger: Knows of what the results that are there were made.
        overwrite: Work on files that have a result, too.

    Returns:
        The files that failed, and why.
    """
    failures: dict[Job, str] = {}
    left = []
    for job in jobs:
        try:
            if overwrite or not ledger.is_done(job.source, job.targets):
                left.append(job)
        except (ValueError, OSError) as error:
            failures[job] = _reason(job, error)
    if done := len(jobs) - len(left) - len(failures):
        print(f"{done} of {len(jobs)} files are done already", file=sys.stderr)
    seconds = {job: duration(job.source) for job in left}
    total = round(sum(seconds.values()), 1)
    with tqdm(total=total, unit=" s of audio", bar_format=_BAR, disable=not left) as bar:
        for job in left:
            try:
                ledger.begin(job.source, job.targets, also=[job.gain_file])
                work(job)
            # Whatever a file does to a library: it is named, and the others are done.
            except Exception as error:
                failures[job] = _reason(job, error)
            bar.update(seconds[job])
    return failures


def _reason(job: Job, error: Exception) -> str:
    reason = " ".join(str(error).split())
    if not isinstance(error, (AudioError, ValueError, OSError, RuntimeError)):
        reason = f"{type(error).__name__}: {reason}"
    return reason if str(job.source) in reason else f"{job.source}: {reason}"
