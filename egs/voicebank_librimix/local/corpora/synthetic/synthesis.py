"""The synthetic corpus: speech and noise made on the spot, on disk like VoiceBank-DEMAND and LibriMix.

Layouts, names and log formats are those of the real corpora (Valentini-Botinhao, DataShare 10283/2791;
Cosentino et al., "LibriMix", 2020), so that the code that reads them is the same.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet_plugins.atomic import remove
from local.common.audio import SAMPLE_RATE, read, resample, rms, to_pcm16, write
from local.common.output import log
from local.common.parallel import parallel_map
from local.corpora.mixing import Mixing, conditions, cut, decibels, load_recording, mix, named_rng
from local.corpora.synthetic.environments import record_environments
from local.corpora.synthetic.grammar import sentences
from local.corpora.synthetic.noises import SEEN, SMALL_TALK, UNSEEN
from local.corpora.synthetic.speech import Recording, record, small_talk
from local.corpora.synthetic.voices import DEV_VOICES, MORE_TRAIN_VOICES, TEST_VOICES, TRAIN_VOICES, Prompt, Voice

VOICEBANK_RATE = 48000
# Raised with every change that gives other audio or texts for the same settings.
VERSION = 2

# Speaker names of the real corpus; p226 and p287 are its usual development speakers.
_TRAIN_SPEAKERS = (
    *("p227", "p228", "p230", "p231", "p233", "p236"),
    *("p239", "p243", "p244", "p250", "p254", "p256"),
)
_DEV_SPEAKERS = ("p226", "p287")
_TEST_SPEAKERS = ("p232", "p257", "p360", "p361")

_LIBRISPEECH_PARTS = {"train": "train-clean-100", "dev": "dev-clean", "test": "test-clean"}
_LIBRISPEECH_SPEAKERS = {
    "train": ((60, 103, 1034, 196, 211, 226), MORE_TRAIN_VOICES),
    "dev": ((84, 2277), DEV_VOICES),
    "test": ((61, 1089, 121, 8463), TEST_VOICES),
}
_WHAM_PARTS = {"train": "tr", "dev": "cv", "test": "tt"}


def environment_path(root: Path, environment: str) -> Path:
    """Where the recording of a noise environment lies, in the layout of DEMAND."""
    name = environment.upper()
    return root / "demand" / f"{name}_48k" / name / "ch01.wav"


def _deal(texts: Sequence[str], speakers: int) -> list[list[str]]:
    """Hand sentences out to speakers as evenly as they go."""
    return [list(texts[i::speakers]) for i in range(speakers)]


def _prompts(texts: Iterable[str], rng: np.random.Generator) -> tuple[Prompt, ...]:
    """Sentences with a rate and pitch that vary a little, as people do."""
    return tuple(Prompt(text, int(rng.integers(-15, 16)), int(rng.integers(-8, 9))) for text in texts)


# VoiceBank-DEMAND ------------------------------------------------------------------------------------------


def _voicebank_speech(root: Path, settings: Mapping[str, Any], seed: int) -> list[tuple[Recording, str]]:
    """Plan the clean speech: one job per speaker, with the set its files belong to."""
    rng = np.random.default_rng([seed, 1])
    texts = sentences(settings["train"] + settings["dev"] + settings["test"], rng)
    cuts = np.cumsum([settings["train"], settings["dev"]])
    groups = (
        (_TRAIN_SPEAKERS, TRAIN_VOICES, texts[: cuts[0]], "trainset_28spk"),
        (_DEV_SPEAKERS, DEV_VOICES, texts[cuts[0] : cuts[1]], "trainset_28spk"),
        (_TEST_SPEAKERS, TEST_VOICES, texts[cuts[1] :], "testset"),
    )
    jobs = []
    for speakers, voices, group, name in groups:
        for speaker, voice, share in zip(speakers, voices, _deal(group, len(speakers)), strict=True):
            paths = [root / f"clean_{name}_wav" / f"{speaker}_{i:03d}.wav" for i in range(1, len(share) + 1)]
            jobs.append((Recording(voice, _prompts(share, rng), tuple(paths), VOICEBANK_RATE, seed), name))
    return jobs


def _write_prompts(root: Path, jobs: Iterable[tuple[Recording, str]]) -> None:
    """One text file per utterance, a sentence with capital and full stop as in the real corpus."""
    for job, name in jobs:
        folder = root / f"{name}_txt"
        folder.mkdir(parents=True, exist_ok=True)
        for path, prompt in zip(job.paths, job.prompts, strict=True):
            (folder / f"{path.stem}.txt").write_text(prompt.text.capitalize() + ".\n", encoding="utf-8")


def _voicebank_mixtures(root: Path, noise_root: Path, settings: Mapping[str, Any], seed: int) -> list[Mixing]:
    """Plan the noisy files of every set and write the logs that describe them."""
    snrs = settings["snr"]
    # folder of noisy files, of clean files, noises, SNRs, part of the noise recordings
    sets = (
        ("trainset_28spk", "trainset_28spk", SEEN, snrs["train"], "train"),
        ("testset", "testset", UNSEEN, snrs["test"], "test"),
        ("testset_seen", "testset", SEEN, snrs["test"], "test"),
        ("testset_hard", "testset", SEEN + UNSEEN, snrs["hard"], "test"),
    )
    jobs = []
    (root / "logfiles").mkdir()
    for name, clean, noises, levels, part in sets:
        source, target = root / f"clean_{clean}_wav", root / f"noisy_{name}_wav"
        target.mkdir()
        assigned = conditions([path.stem for path in source.glob("*.wav")], noises, levels, seed=seed)
        # The logs of the real corpus write the test SNRs in this notation.
        lines = [f"{stem} {noise} {snr:e}\n" for stem, (noise, snr) in assigned.items()]
        (root / "logfiles" / f"log_{name}.txt").write_text("".join(lines))
        for stem, (noise, snr) in assigned.items():
            path = environment_path(noise_root, noise)
            jobs.append(Mixing(source / f"{stem}.wav", path, snr, part, target / f"{stem}.wav", seed))
    return jobs


# LibriMix --------------------------------------------------------------------------------------------------


def _librispeech_speech(root: Path, settings: Mapping[str, Any], seed: int) -> list[Recording]:
    """Plan the speech and write transcripts and the speaker table."""
    rng = np.random.default_rng([seed, 2])
    jobs, table = [], ["; Speakers of the embedded corpus", ";ID  |SEX| SUBSET           |MINUTES| NAME"]
    texts = iter(sentences(sum(settings[split] for split in _LIBRISPEECH_PARTS), rng))
    for split, part in _LIBRISPEECH_PARTS.items():
        speakers, voices = _LIBRISPEECH_SPEAKERS[split]
        shares = _deal([next(texts) for _ in range(settings[split])], len(speakers))
        for speaker, voice, share in zip(speakers, voices, shares, strict=True):
            chapter = 1000 + speaker
            folder = root / part / str(speaker) / str(chapter)
            folder.mkdir(parents=True)
            stems = [f"{speaker}-{chapter}-{i:04d}" for i in range(len(share))]
            paths = tuple(folder / f"{stem}.flac" for stem in stems)
            lines = [f"{stem} {text.upper()}\n" for stem, text in zip(stems, share, strict=True)]
            (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines))
            jobs.append(Recording(voice, _prompts(share, rng), paths, SAMPLE_RATE, seed))
            table.append(_speaker_line(speaker, voice, part))
    (root / "SPEAKERS.TXT").write_text("\n".join(table) + "\n")
    return jobs


def _speaker_line(speaker: int, voice: Voice, part: str) -> str:
    # The real table has one name with the separator in it, that of speaker 60.
    name = f"{voice.variant} | espeak-ng" if speaker == 60 else voice.variant
    return f"{speaker:<5}| {voice.sex} | {part:<17}| 1.00  | {name}"


def _wham_noise(root: Path, noise_root: Path, counts: Mapping[str, int], seed: int) -> None:
    """Write two-channel noise files; every tenth is shorter than most mixtures, as some of WHAM! are."""
    for split, part in _WHAM_PARTS.items():
        folder = root / part
        folder.mkdir(parents=True)
        for i in range(counts[split]):
            environment = SEEN[i % len(SEEN)]
            rng = named_rng(seed, f"{part} {i}")
            seconds = rng.uniform(1.0, 1.6) if i % 10 == 9 else rng.uniform(4.0, 6.0)
            source = load_recording(environment_path(noise_root, environment))
            region = "test" if split == "test" else "train"
            pair = [cut(source, region, int(seconds * VOICEBANK_RATE), rng) for _ in range(2)]
            both = np.stack([resample(channel, VOICEBANK_RATE) for channel in pair], axis=1)
            write(folder / f"{environment}_{i:04d}.wav", to_pcm16(both), SAMPLE_RATE)


def _libri2mix_metadata(librispeech: Path, wham: Path, target: Path, seed: int) -> None:
    """Draw pairs, noises and gains with the distributions of the published metadata.

    Levels are drawn in dB of root mean square rather than loudness units: speech -33 to -25, noise -38 to
    -30, everything scaled down where the sum would exceed a peak of 0.9.
    """
    target.mkdir(parents=True)
    for split, part in _LIBRISPEECH_PARTS.items():
        rng = np.random.default_rng([seed, 3, len(part)])
        paths = sorted((librispeech / part).rglob("*.flac"))
        noises = sorted((wham / _WHAM_PARTS[split]).glob("*.wav"))
        signals = {path: read(path)[0] for path in paths}
        rows = []
        for i, first in enumerate(paths[j] for j in rng.permutation(len(paths))):
            speaker = first.parent.parent
            second = paths[rng.choice([j for j, p in enumerate(paths) if p.parent.parent != speaker])]
            noise = noises[i % len(noises)]
            rows.append((first, second, noise, _gains(signals[first], signals[second], read(noise, channel=0)[0], rng)))
        path = target / f"libri2mix_{part}.csv"
        _write_metadata(path, rows, librispeech=librispeech, wham=wham)


def _gains(first: np.ndarray, second: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> list[float]:
    size = max(len(first), len(second))
    levels = [rng.uniform(-33, -25), rng.uniform(-33, -25), rng.uniform(-38, -30)]
    sources = [first, second, noise[:size]]
    gains = [decibels(level) / rms(source) for level, source in zip(levels, sources, strict=True)]
    total = sum(np.pad(g * x, (0, size - len(x))) for g, x in zip(gains, sources, strict=True))
    scale = min(1.0, 0.9 / float(np.abs(total).max()))
    return [gain * scale for gain in gains]


def _write_metadata(path: Path, rows: Sequence[tuple], *, librispeech: Path, wham: Path) -> None:
    names = ["mixture_ID"]
    names += [f"source_{i}_{what}" for i in (1, 2) for what in ("path", "gain")] + ["noise_path", "noise_gain"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for first, second, noise, gains in rows:
            row = [f"{first.stem}_{second.stem}"]
            for source, root, gain in zip((first, second, noise), (librispeech, librispeech, wham), gains, strict=True):
                row += [source.relative_to(root).as_posix(), repr(float(gain))]
            writer.writerow(row)


# Everything ------------------------------------------------------------------------------------------------


def synthesize(root: Path, settings: Mapping[str, Any], *, nj: int) -> None:
    """Make the whole corpus; what an interrupted call left is made again.

    Args:
        root: Gets voicebank_demand/, demand/ (the noise recordings), LibriSpeech/, wham_noise/ and
            LibriMix/metadata/.
        settings: The `corpora.mini` section of a preset: `voicebank_demand` (train, dev, test: utterances;
            snr: dB of train, test, hard), `librimix` (train, dev, test: utterances), `noise_seconds` and
            `seed`: the same seed gives the same bits, whatever nj.
        nj: Parallel processes.
    """
    seed = settings["seed"]
    for name in ("voicebank_demand", "demand", "LibriSpeech", "wham_noise", "LibriMix"):
        remove(root / name)
    voicebank, librispeech = root / "voicebank_demand", root / "LibriSpeech"
    voicebank.mkdir(parents=True)
    plan = _voicebank_speech(voicebank, settings["voicebank_demand"], seed)
    jobs = [job for job, _ in plan] + _librispeech_speech(librispeech, settings["librimix"], seed)
    for _ in parallel_map(record, jobs, nj=nj, description="speech", unit="voice", fresh=True):
        pass
    _write_prompts(voicebank, plan)

    talk = [(voice, SMALL_TALK, VOICEBANK_RATE, seed) for voice in TRAIN_VOICES[:8]]
    talkers = list(parallel_map(small_talk, talk, nj=nj, fresh=True))
    places = {name: environment_path(root, name) for name in SEEN + UNSEEN}
    record_environments(places, talkers, seconds=settings["noise_seconds"], rate=VOICEBANK_RATE, seed=seed, nj=nj)

    mixtures = _voicebank_mixtures(voicebank, root, settings["voicebank_demand"], seed)
    for _ in parallel_map(mix, mixtures, nj=nj, description="noisy speech"):
        pass
    counts = {split: max(16, settings["librimix"][split] // 3) for split in _WHAM_PARTS}
    _wham_noise(root / "wham_noise", root, counts, seed)
    _libri2mix_metadata(librispeech, root / "wham_noise", root / "LibriMix" / "metadata" / "Libri2Mix", seed)
    log(f"synthetic corpus: {sum(len(job.paths) for job in jobs)} utterances, {len(mixtures)} noisy files")
