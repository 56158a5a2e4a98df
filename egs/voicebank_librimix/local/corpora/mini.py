"""The synthetic corpus: synthesized sources in the place of the published ones (see `synthetic.synthesis`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from local.common.steps import Step
from local.corpora.corpus import PCM_HOUR, STAGE, Corpus, Estimate, Spec, Work, register_corpus
from local.corpora.synthetic import synthesis

# Average length of a sentence, in seconds.
_SECONDS = 2.45


@register_corpus("mini")
class Mini(Corpus):
    """What the preset says under `mini`: counts, SNRs, the seed."""

    settings = ("seed", "voicebank_demand", "librimix", "noise_seconds")
    stands_for = ("voicebank_demand", "librispeech", "wham_noise", "librimix_metadata", "demand")

    def prepare(self, specs: Collection[Spec]) -> Iterable[Work]:
        """One step for all that it stands for."""
        settings = self.options
        step = Step("mini", stage=STAGE, out=self.made, settings={**settings, "v": synthesis.VERSION})
        yield step, lambda: synthesis.synthesize(step.out, settings, nj=self.nj)

    def estimate(self, spec: Spec, hours: float | None = None) -> Estimate:
        """By the number of sentences; VoiceBank's files are clean and noisy at 48 kHz, LibriMix's parts are three."""
        counts = self.options.get(spec["corpus"], self.options)
        part = str(spec.get("part") or spec.get("split")).split("_")[0].split("-")[0]
        hours = counts.get(part, 0) * _SECONDS / 3600
        return Estimate(hours, made=(3 if spec["corpus"] == "librimix" else 6) * hours * PCM_HOUR)
