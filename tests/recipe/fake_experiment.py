"""What stages 2, 5 and 6 leave, on a scale of seconds: real audio files, invented transcripts."""

from __future__ import annotations

import json
from pathlib import Path

import kaldiio
import numpy as np
import soundfile

from local.pipeline import run
from local.pipeline.options import parse
from local.pipeline.pipeline import Pipeline
from local.stages.train_steps import MODEL

SAMPLE_RATE = 16000
SETS = ("test_seen", "test_unseen")
WORDS = ("zero", "one", "two", "three")


class Experiment:
    """A recipe's directories below `root`, with `utterances` per test set.

    Args:
        root: An empty directory.
        quality_utterances: How many of each set are measured.
        options: More options of the command line.
    """

    def __init__(self, root: Path, *, utterances: int = 8, quality_utterances: int = 0, options=()):
        self.root = root
        preset = root / "tiny.yaml"
        tests = ", ".join(SETS)
        # The networks of listeners take a second for each utterance.
        settings = f"quality_utterances: {quality_utterances}\ndnsmos: false\n"
        preset.write_text(f"extends: mini\ntest: [{tests}]\n{settings}")
        self.options = ["--preset", str(preset), "--dumpdir", str(root / "dump"), "--expdir", str(root / "exp")]
        self.options += ["--objectives", "si_snr ssl_mse", "--seeds", "0 1", *options]
        self.recipe, self.runs = self.steps.recipe, self.steps.runs
        self.systems = self.steps.systems
        generator = np.random.default_rng(0)
        for name in SETS:
            self._dump(name, utterances, generator)
            for system in self.systems.values():
                self._decode(system, name, generator)
        for step in self.systems["se"].trained:
            step.out.mkdir(parents=True)
            (step.out / MODEL).write_bytes(bytes(1_000_000))
        for index, tuned in enumerate(self.runs):
            self._train(tuned, index)

    @property
    def steps(self):
        """The steps as a new call of the recipe sees them."""
        return Pipeline(parse(self.options)).experiment

    def run(self, stage: int, *options: str) -> None:
        """Do a stage in this process."""
        run.run(parse([*self.options, "--stage", str(stage), "--stop_stage", str(stage), *options]))

    def text(self, system: str, name: str) -> Path:
        """The transcripts of a system on a test set."""
        return self.steps.recognize(self.systems[system], name).out / "text"

    def touch(self, done: Path, fingerprint: str = "first") -> None:
        """Leave the record of a finished step."""
        done.parent.mkdir(parents=True, exist_ok=True)
        done.write_text(json.dumps({"fingerprint": fingerprint, "seconds": 4.0}))

    def _dump(self, name: str, utterances: int, generator: np.random.Generator) -> None:
        folder = self.recipe.dumpdir / name
        folder.mkdir(parents=True)
        ids = [f"spk{i % 2}_{i:02d}" for i in range(utterances)]
        self._table(folder / "utt2spk", {utt: utt[:4] for utt in ids})
        self._table(folder / "utt2num_samples", {utt: str(SAMPLE_RATE) for utt in ids})
        self._table(folder / "utt2category", {u: ("hum_2.5dB", "babble_7.5dB")[i % 2] for i, u in enumerate(ids)})
        texts = {utt: " ".join(generator.choice(WORDS, size=4)) for utt in ids}
        self._table(folder / "text_spk1", texts)
        rhythm = np.clip(np.sin(2 * np.pi * 4 * np.arange(SAMPLE_RATE) / SAMPLE_RATE), 0, None)
        for file, level in (("spk1", 0.0), ("wav", 0.05)):
            signals = {}
            for seed, utt in enumerate(ids):
                speech = 0.2 * rhythm * np.random.default_rng(seed).standard_normal(SAMPLE_RATE)
                noise = level * np.random.default_rng(seed + 100).standard_normal(SAMPLE_RATE)
                signals[utt] = (SAMPLE_RATE, np.clip(speech + noise, -1, 0.99))
            kaldiio.save_ark(
                str(folder / f"{file}.ark"),
                signals,
                scp=str(folder / f"{file}.scp"),
                write_function="soundfile",
                write_kwargs={"format": "flac"},
            )
        self.touch(self.recipe.dump_done(name))

    def _decode(self, system, name: str, generator: np.random.Generator) -> None:
        texts = self._read(self.recipe.dumpdir / name / "text_spk1")
        hypotheses = {}
        for utt, text in texts.items():
            words = text.split()
            if system.name != "clean" and generator.random() < 0.5:
                words[generator.integers(4)] = "five"
            hypotheses[utt] = " ".join(words)
        step = self.steps.recognize(system, name)
        self._table(step.out / "text", hypotheses)
        self.touch(step.done)
        if system.front_end == "none":
            return
        step = self.steps.enhance(system, name)
        (step.out / "wavs").mkdir(parents=True)
        listed = {}
        noisy, clean = (kaldiio.load_scp(str(self.recipe.dumpdir / name / f"{f}.scp")) for f in ("wav", "spk1"))
        for utt, (rate, mixture) in noisy.items():
            listed[utt] = str(step.out / "wavs" / f"{utt}.flac")
            soundfile.write(listed[utt], 0.3 * mixture + 0.7 * clean[utt][1], rate)
        self._table(step.out / "spk1.scp", listed)
        self.touch(step.done)

    def _train(self, run, index: int) -> None:
        step = self.steps.fine_tunings[run]
        step.out.mkdir(parents=True)
        rows = [f"{e},{40 * e},{5 * e},{3 - 0.1 * e},{0.5 - 0.04 * e - 0.01 * index}," for e in range(1, 6)]
        header = "epoch,updates,seconds,valid_loss,valid_cer_ctc,valid_wer_ctc"
        (step.out / "curve.csv").write_text("\n".join([header, *rows]) + "\n")
        (step.out / MODEL).write_bytes(bytes(3_000_000))
        self.touch(step.done)

    @staticmethod
    def _table(path: Path, table: dict[str, str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{key} {value}\n" for key, value in table.items()))

    @staticmethod
    def _read(path: Path) -> dict[str, str]:
        return dict(line.split(maxsplit=1) for line in path.read_text().splitlines())
