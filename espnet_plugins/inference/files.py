"""Files and folders in, one result per file out: progress, resume, failures that stop nothing else."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from espnet_plugins.atomic import write_text
from espnet_plugins.inference.audio import duration

_STATE = ".settings.json"


@dataclass(frozen=True)
class Job:
    """One file to work on.

    Args:
        source: The audio file.
        target: Where its result goes.
    """

    source: Path
    target: Path

    @property
    def is_done(self) -> bool:
        """Whether the result is there and not older than the source."""
        return self.target.is_file() and self.target.stat().st_mtime >= self.source.stat().st_mtime


def find_jobs(inputs: Sequence[str | os.PathLike[str]], out: Path, suffix: str) -> list[Job]:
    """Find the audio files of files and folders.

    Args:
        inputs: Files, and folders that are searched for files with the endings of audio.
        out: Where results go; below it, a folder's own structure is kept.
        suffix: Ending of the results, with its dot: ".wav", "_spk1.wav".

    Returns:
        A job per file.

    Raises:
        FileNotFoundError: For an input that is not there, or a folder without audio.
        ValueError: When two inputs would have one result, or a result would replace its input.
    """
    sources: dict[Path, Path] = {}
    for source, relative in (pair for name in inputs for pair in _audio_below(Path(name), out)):
        target = out / relative.with_name(relative.stem + suffix)
        if target in sources and sources[target].resolve() != source.resolve():
            raise ValueError(f"{sources[target]} and {source} would both become {target}: give one of them at a time")
        if target.resolve() == source.resolve():
            raise ValueError(f"{source}: its result would replace it; give another folder as --out")
        sources[target] = source
    return [Job(source, target) for target, source in sources.items()]


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
    endings = {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".oga", ".opus"}
    inside_out = None if out is None else out.resolve()
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in endings
        and file.is_file()
        and not file.name.startswith(".")
        and inside_out not in file.resolve().parents
    ]
    if not found:
        raise FileNotFoundError(f"{path}: holds no audio files")
    for file in found:
        yield file, file.relative_to(path)


def check_settings(out: Path, settings: Mapping[str, Any]) -> None:
    """Refuse to mix results of different settings in one folder.

    Args:
        out: The folder of results; made if it is missing.
        settings: What the results depend on.

    Raises:
        ValueError: When the folder holds results of other settings, naming what differs.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / _STATE
    wanted = json.loads(json.dumps(settings))
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if differs := sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key)):
            raise ValueError(
                f"{out} holds results made with another {', '.join(differs)}: give another --out, or --overwrite"
            )
    write_text(path, json.dumps(wanted, indent=1) + "\n")


def forget_settings(out: Path) -> None:
    """Let any settings follow in a folder whose results are to be overwritten."""
    (out / _STATE).unlink(missing_ok=True)


def run_jobs(jobs: Sequence[Job], work: Callable[[Job], None], *, overwrite: bool = False) -> list[str]:
    """Work on every file whose result is not there yet, the time left on display.

    Args:
        jobs: The files.
        work: Writes a job's result.
        overwrite: Work on files that have a result, too.

    Returns:
        What went wrong, a line per file.
    """
    left = [job for job in jobs if overwrite or not job.is_done]
    if len(left) < len(jobs):
        print(f"{len(jobs) - len(left)} of {len(jobs)} files are done already", file=sys.stderr)
    seconds = {job: duration(job.source) for job in left}
    failures = []
    with tqdm(total=round(sum(seconds.values()), 1), unit="s of audio", disable=not left) as bar:
        for job in left:
            try:
                work(job)
            except (ValueError, OSError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                failures.append(reason if str(job.source) in reason else f"{job.source}: {reason}")
            bar.update(seconds[job])
    return failures
