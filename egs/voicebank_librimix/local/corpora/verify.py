"""Is a corpus complete? What is missing is named: speakers, files, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from local.common.audio import RATE, inspect
from local.common.kaldi_dir import DataError
from local.corpora import fsdd, voicebank_demand
from local.corpora.librimix_mixing import Plan, components, read_metadata
from local.corpora.librispeech import chapter_transcripts, files


def _some(names: Collection[str]) -> str:
    """A few names, and that there are more."""
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _voicebank_demand(root: Path, facts: Mapping[str, Any], parts: Collection[str]) -> dict[str, int]:
    found = {}
    for part, name in (("train", "trainset_28spk"), ("test", "testset")):
        log = voicebank_demand.check_complete(root, part=part)
        counts, expected = Counter(stem.split("_")[0] for stem in log), facts["speakers"][name]
        wrong = [
            f"{speaker} has {counts[speaker]} utterances of {count}"
            for speaker, count in expected.items()
            if counts[speaker] != count
        ]
        if unknown := set(counts) - set(expected):
            wrong.append(f"{_some(unknown)} should not be there")
        if wrong:
            raise DataError(f"{root}, {name}: {'; '.join(wrong[:5])}")
        for stem, (noise, snr) in log.items():
            if noise not in facts["noises"][name] or snr not in facts["snrs"][name]:
                raise DataError(f"{root}/logfiles: {stem} has the unknown condition '{noise} {snr:g}'")
        found[name] = len(log)
    return found


def _librispeech(root: Path, facts: Mapping[str, Any], parts: Collection[str]) -> dict[str, int]:
    found = {}
    for part in sorted(parts):
        audio = {path.stem for path in files(root, part)}
        texts = {name for path in (root / part).rglob("*.trans.txt") for name in chapter_transcripts(path)}
        if missing := texts - audio:
            raise DataError(f"{root / part} lacks {len(missing)} files that have a transcript: {_some(missing)}")
        if missing := audio - texts:
            raise DataError(f"{root / part}: {len(missing)} files have no transcript: {_some(missing)}")
        expected = facts["utterances"].get(part, len(audio))
        if len(audio) != expected:
            raise DataError(f"{root / part} has {len(audio)} utterances of {expected}: unpack {part}.tar.gz again")
        found[part] = len(audio)
    return found


def _wham_noise(root: Path, facts: Mapping[str, Any], parts: Collection[str]) -> dict[str, int]:
    found = {}
    for part, expected in facts["utterances"].items():
        names = [path.name for path in (root / part).glob("*.wav") if not path.name.startswith(".")]
        # Speed-perturbed copies that the official scripts put beside the originals do not count.
        originals = [name for name in names if not name.endswith(("sp08.wav", "sp12.wav"))]
        if len(originals) != expected:
            raise DataError(f"{root / part} has {len(originals)} noises of {expected}: unpack wham_noise.zip again")
        found[part] = len(originals)
    return found


def _librimix_metadata(root: Path, facts: Mapping[str, Any], parts: Collection[str]) -> dict[str, int]:
    found = {}
    for name, expected in facts["utterances"].items():
        if parts and name not in parts:
            continue
        rows = sum(1 for _ in read_metadata(root / name))
        if rows != expected:
            raise DataError(f"{root / name} has {rows} rows of {expected}")
        found[name] = rows
    return found


def _demand(root: Path, facts: Mapping[str, Any], parts: Collection[str]) -> dict[str, int]:
    found = {}
    for environment in sorted(parts):
        candidates = [
            root / f"{environment}{end}" / "ch01.wav" for end in ("", *(f"_{k}k/{environment}" for k in (16, 48)))
        ]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise DataError(f"{root} lacks the environment {environment} ({environment}_16k/{environment}/ch01.wav)")
        info = inspect(path)
        if info.rate not in (RATE, 3 * RATE):
            raise DataError(f"{path} is sampled at {info.rate} Hz, not 16 or 48 kHz")
        found[environment] = info.frames
    return found


def _fsdd(root: Path, facts: Mapping[str, Any], parts: Collection[str]) -> dict[str, int]:
    found = fsdd.recordings(root)
    for speaker, paths in found.items():
        expected = {f"{digit}_{speaker}_{i}.wav" for digit in range(10) for i in range(facts["recordings"])}
        if missing := expected - {path.name for path in paths}:
            raise DataError(f"{root}/recordings lacks {len(missing)} files of {speaker}: {_some(missing)}")
    return {speaker: len(paths) for speaker, paths in found.items()}


def mixtures(plan: Plan, count: int, expected: int | None) -> dict[str, int]:
    """See that mixtures that a site has are all there.

    Args:
        plan: What is asked of them; nothing is made.
        count: Sources of a mixture.
        expected: Rows of the published metadata, where they are known.

    Returns:
        Files by folder.

    Raises:
        DataError: For a folder that lacks files, naming some that others have.
    """
    folders = [
        plan.folder(rate, mode) / plan.split / part
        for rate in plan.rates
        for mode in plan.modes
        for part in dict.fromkeys(p for kind in plan.types for p in (kind, *components(kind, count)))
    ]
    names = {f: {p.name for p in f.glob("*.wav") if not p.name.startswith(".")} for f in folders}
    everything = set[str]().union(*names.values())
    for folder, there in names.items():
        if missing := everything - there:
            raise DataError(f"{folder} lacks {len(missing)} files: {_some(missing)}")
        if len(there) != (len(there) if expected is None else expected) or not there:
            raise DataError(
                f"{folder} has {len(there)} mixtures of {expected or 'any'}: set LIBRIMIX to a complete copy"
            )
    return {str(folder): len(there) for folder, there in names.items()}


# Corpus -> a function of its folder, the registry's facts and the parts needed, which gives what it counted
# and raises DataError for what is missing.
CHECKS: dict[str, Callable[[Path, Mapping[str, Any], Collection[str]], dict[str, int]]] = {
    "voicebank_demand": _voicebank_demand,
    "librispeech": _librispeech,
    "wham_noise": _wham_noise,
    "librimix_metadata": _librimix_metadata,
    "demand": _demand,
    "fsdd": _fsdd,
}
