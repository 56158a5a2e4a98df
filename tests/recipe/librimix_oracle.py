"""A plain implementation of LibriMix's algorithm and a corpus to try it on, for tests and the benchmark."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from local.corpora.librimix_mixing import Plan

SPEAKERS = ("60", "61", "84")


class Corpus:
    """A LibriSpeech tree, WHAM! noises and metadata, drawn at random.

    Args:
        root: Where it is made.
        rows: Mixtures.
        count: Sources of each.
        seed: Of the draw.
        each: Utterances per speaker.
        longest: Of the utterances, in samples; the shortest is a bit less than half of it.
    """

    def __init__(self, root, *, rows=10, count=2, seed=0, each=4, longest=35000):
        self.rng = np.random.default_rng(seed)
        self.choose = random.Random(seed)
        self.librispeech, self.wham = root / "LibriSpeech", root / "wham_noise"
        self.csv = root / "metadata" / f"libri{count}mix_dev-clean.csv"
        self.texts = {}
        utterances = [self._speech(speaker, i, longest) for speaker in SPEAKERS for i in range(each)]
        # Stereo and mono, longer than the mixtures and shorter, down to one extension after another.
        sizes, channels = (1.15, 0.26, 0.6, 0.25), (2, 1, 2, 2)
        noises = [self._noise(f"cv/{i}.wav", int(longest * sizes[i]), channels[i]) for i in range(4)]
        self.rows = []
        drawn = set()
        while len(self.rows) < rows:
            speakers = self.choose.sample(SPEAKERS, count)
            sources = [self.choose.choice([u for u in utterances if f"/{s}/" in u]) for s in speakers]
            if tuple(sources) not in drawn:
                drawn.add(tuple(sources))
                self.rows.append((sources, noises[len(self.rows) % len(noises)]))
        self.write_metadata()

    def _speech(self, speaker, i, longest):
        name = f"dev-clean/{speaker}/1{speaker}/{speaker}-1{speaker}-{i:04d}.flac"
        path = self.librispeech / name
        path.parent.mkdir(parents=True, exist_ok=True)
        size = int(self.rng.integers(int(0.43 * longest), longest))
        soundfile.write(path, self.rng.integers(-8000, 8000, size).astype(np.int16), 16000)
        self.texts[path.stem] = f"TEXT {speaker} {i}"
        with (path.parent / f"{speaker}-1{speaker}.trans.txt").open("a") as file:
            file.write(f"{path.stem} {self.texts[path.stem]}\n")
        return name

    def _noise(self, name, size, channels):
        path = self.wham / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = self.rng.integers(-8000, 8000, (size, channels)).astype(np.int16)
        soundfile.write(path, samples, 16000)
        return name

    def write_metadata(self):
        self.csv.parent.mkdir(exist_ok=True)
        self.gains = {}
        with self.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            count = len(self.rows[0][0])
            names = [f"source_{i + 1}_{what}" for i in range(count) for what in ("path", "gain")]
            writer.writerow(["mixture_ID", *names, "noise_path", "noise_gain"])
            for sources, noise in self.rows:
                gains = [self.choose.uniform(0.2, 1.2) for _ in range(count + 1)]
                name = "_".join(Path(s).stem for s in sources)
                self.gains[name] = gains
                pairs = [x for pair in zip(sources, gains, strict=False) for x in pair]
                writer.writerow([name, *pairs, noise, gains[-1]])

    def plan(self, out, **changes):
        fields = {"metadata": self.csv, "librispeech": self.librispeech, "wham": self.wham, "out": out, "split": "dev"}
        return Plan(**{**fields, **changes})


def oracle(corpus, sources, noise, gains, *, rate, mode):
    """The published algorithm, step by step: (source signals, noise signal)."""
    signals = []
    for path in sources:
        signal, _ = soundfile.read(corpus.librispeech / path, dtype="float32")
        signals.append(signal)
    longest = max(len(s) for s in signals)
    noise_signal, _ = soundfile.read(corpus.wham / noise, dtype="float32", stop=longest)
    if noise_signal.ndim == 2:
        noise_signal = noise_signal[:, 0]
    window = np.hanning(16001)
    up, down = window[:8001], window[8000::-1]
    extended = noise_signal
    while len(extended) < longest:
        faded = extended[-8001:] * down + noise_signal[:8001] * up
        extended = np.concatenate([extended[:-8001], faded, noise_signal[8001:]])
    signals.append(extended[:longest])
    signals = [s * g for s, g in zip(signals, gains, strict=True)]
    signals = [resample_poly(s, rate, 16000) for s in signals]
    if mode == "min":
        size = min(len(s) for s in signals)
        signals = [s[:size] for s in signals]
    else:
        size = max(len(s) for s in signals)
        signals = [np.concatenate([s, np.zeros(size - len(s), s.dtype)]) for s in signals]
    return signals[:-1], signals[-1]


def plain_sum(signals):
    """One after the other into an array like the first: an extended noise, in double, is rounded."""
    total = np.zeros_like(signals[0])
    for signal in signals:
        total += signal
    return total
