"""The synthetic corpus: synthesized sources in the place of the published ones (see `synthetic.synthesis`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from local.common.errors import OptionError
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

    @property
    def options(self) -> dict[str, Any]:
        """What the preset says about the corpus.

        Raises:
            OptionError: For a number of utterances that is none.
        """
        options = super().options
        for corpus in ("voicebank_demand", "librimix"):
            counts = options.get(corpus) or {}
            if not isinstance(counts, dict):
                raise OptionError(f"corpora: mini: {corpus}: {counts!r} is not accepted; give utterances by split")
            for split in ("train", "dev", "test"):
                if not isinstance(counts.get(split, 1), int) or counts.get(split, 1) < 1:
                    raise OptionError(f"corpora: mini: {corpus}: {split}: {counts[split]!r} is no number of utterances")
        return options

    def prepare(self, specs: Collection[Spec]) -> Iterable[Work]:
        """One step for all that it stands for."""
        settings = self.options
        step = Step("mini", stage=STAGE, out=self.made, settings={**settings, "v": synthesis.VERSION})
        yield step, lambda: synthesis.synthesize(step.out, settings, nj=self.nj)

    def estimate(self, spec: Spec, hours: float | None = None) -> Estimate:
        """By the number of sentences; VoiceBank's files are clean and noisy at 48 kHz, LibriMix's parts are three."""
        counts = self.options.get(spec["corpus"]) or {}
        part = str(spec.get("part") or spec.get("split")).split("_")[0].split("-")[0]
        count = counts.get(part, 0)
        hours = count * _SECONDS / 3600
        made = (3 if spec["corpus"] == "librimix" else 6) * hours * PCM_HOUR
        return Estimate(hours, made=made, utterances=count)
