"""A corpus from outside the repository: tones for speech, hum for noise."""

import numpy as np
import soundfile

from local.common.kaldi_dir import Utterance
from local.common.steps import Step
from local.corpora.corpus import STAGE, Corpus, Estimate, register_corpus


@register_corpus("toy_tones")
class Tones(Corpus):
    variables = ("TOY_TONES",)

    @property
    def root(self):
        return self.made

    def prepare(self, specs):
        step = Step("tones", stage=STAGE, out=self.made, settings=self.options)
        yield step, self._make

    def _make(self):
        time, rng = np.arange(24000) / 16000, np.random.default_rng(self.options["seed"])
        for i in range(self.options["count"]):
            tone = 0.1 * np.sin(2 * np.pi * (300 + 50 * i) * time)
            soundfile.write(self.root / f"{i}.wav", tone, 16000)
            soundfile.write(self.root / f"{i}_noisy.wav", tone + 0.01 * rng.standard_normal(24000), 16000)

    def utterances(self, *, part, word="tone"):
        numbers = [i for i in range(self.options["count"]) if (i % 2 == 0) == (part == "train")]
        paths = [(str(self.root / f"{i}.wav"), str(self.root / f"{i}_noisy.wav")) for i in numbers]
        return [
            Utterance(f"{part}-{i}", part, noisy, (clean,), (f"{word} {word}".upper(),), "hum", 24000, 16000)
            for i, (clean, noisy) in zip(numbers, paths, strict=True)
        ]

    def estimate(self, spec, hours=None):
        return Estimate(self.options["count"] / 2 / 3600)
