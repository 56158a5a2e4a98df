"""Stage 7: word and character errors and signal quality of every system on every test set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.listeners import LEVEL_DB, missing_for_distillmos, missing_for_dnsmos
from espnet_plugins.analysis.scoring.listing import errors_text, result_text
from espnet_plugins.analysis.scoring.quality import METRICS, MOST_DECIBEL, measure_quality, spread
from espnet_plugins.analysis.scoring.scores import SetScore
from local.common.errors import OptionError, RecipeError
from local.common.kaldi_dir import read_table
from local.common.output import atomic_path, log
from local.common.parallel import parallel_map
from local.common.recipe import Recipe
from local.common.signals import load_audio
from local.common.stages import Stage
from local.common.steps import Step
from local.corpora.corpus import some
from local.stages.decode_steps import CUT, head_folder
from local.stages.experiment import Experiment
from local.stages.systems import CLEAN, System

# Measured together; a library that ends its process or hangs costs one utterance these values, and no others.
_GROUPS = (("stoi", "estoi"), ("sdr", "si_sdr"), ("pesq",))
# No library takes longer for an utterance of an hour.
_SECONDS = 900.0


@dataclasses.dataclass(frozen=True)
class Pair:
    """Where two signals to compare are: clean speech and its estimate; None where there is none."""

    utterance: str
    reference: str | None
    estimate: str | None
    metrics: tuple[str, ...] = METRICS

    def __str__(self) -> str:
        return f"{', '.join(self.metrics)} of {self.estimate}"


# Of one pair: utterance, metric -> value, and why metrics are missing (empty when none is).
Measurement = tuple[str, dict[str, float], str]


def read_hypotheses(path: Path) -> dict[str, str]:
    """Read what a decoder wrote: `utterance words...`, the id alone where nothing was recognized.

    Raises:
        RecipeError: When a line is empty or an utterance comes twice.
    """
    from espnet2.fileio.read_text import read_2columns_text

    try:
        return read_2columns_text(path)
    except (OSError, RuntimeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}; delete it and run stage {Stage.DECODING} again") from error


def measure_pair(pair: Pair, *, dnsmos: Path | None = None) -> Measurement:
    """Measure the quality of one utterance; whatever goes wrong with its signals is said, never raised."""
    if pair.reference is None or pair.estimate is None:
        return pair.utterance, {}, f"no {'clean' if pair.reference is None else 'enhanced'} signal"
    try:
        reference, rate = load_audio(pair.reference)
        estimate, estimate_rate = load_audio(pair.estimate)
    except RecipeError as error:
        return pair.utterance, {}, str(error)
    if rate != estimate_rate:
        return pair.utterance, {}, f"the reference has {rate} Hz, the estimate {estimate_rate} Hz"
    values, reasons = measure_quality(reference, estimate, rate, metrics=pair.metrics, dnsmos=dnsmos)
    return pair.utterance, values, "; ".join(f"{metric}: {reason}" for metric, reason in reasons.items())


def not_measured(pair: Pair, reason: str) -> Measurement:
    """What stands for the measurement of a pair on which a library ended its process, or hung."""
    return pair.utterance, {}, f"{', '.join(pair.metrics)}: {reason}"


def dnsmos_folder(recipe: Recipe) -> Path | None:
    """Where the network of DNSMOS is; None for that of the package speechmos."""
    location = recipe.preset["dnsmos"]
    return recipe.downloads / location if isinstance(location, str) else None


def listeners(recipe: Recipe) -> tuple[str, ...]:
    """The networks that judge without a reference: DNSMOS unless the preset says otherwise, DistillMOS where it does.

    Raises:
        OptionError: When the file or the package of one that the preset names is missing. Without the package of
            DNSMOS, which no preset names, it is left out.
    """
    chosen = []
    if location := recipe.preset["dnsmos"]:
        problem = missing_for_dnsmos(dnsmos_folder(recipe))
        if problem and isinstance(location, str):
            raise OptionError(f"preset '{recipe.name}': dnsmos: {problem}, or say `dnsmos: false`")
        chosen += [] if problem else ["dnsmos"]
    if recipe.preset["distillmos"]:
        if problem := missing_for_distillmos():
            raise OptionError(f"preset '{recipe.name}': distillmos: {problem}, or say `distillmos: false`")
        chosen.append("distillmos")
    return tuple(chosen)


class SetScoring:
    """The scoring of one system on one test set.

    Args:
        experiment: The steps.
        system: What is scored.
        dataset: The test set.
        head: Which recognizer; signals are measured with the words.
    """

    def __init__(self, experiment: Experiment, system: System, dataset: str, head: str = ""):
        head = head or experiment.recipe.recognizers[0]
        self.recipe, self.system, self.dataset, self.head = experiment.recipe, system, dataset, head
        self.data = experiment.data_of(head) / dataset
        self.recognized = experiment.recognize(system, dataset, head)
        self.enhanced = None if system.front_end == "none" else experiment.enhance(system, dataset)
        # Clean speech is the reference, and noisy speech is measured once: there is nothing else to measure.
        noisy = system.input != CLEAN and not system.is_joint
        self.measured = head == self.recipe.recognizers[0] and (noisy or self.enhanced is not None)
        self.step = self._step(experiment.phones if head == "pr" else (self.recipe.dump_done(dataset), Stage.DATA))

    def _step(self, data: Step | tuple[Path, int]) -> Step:
        """The step that writes `<expdir>/score/<system>/<dataset>.json` (score_pr/ for phones)."""
        inputs = {"data": data, "hypotheses": self.recognized}
        if self.enhanced is not None:
            inputs["estimates"] = self.enhanced
        return Step(
            f"score.{self.dataset}",
            stage=Stage.SCORING,
            out=self.recipe.expdir / head_folder("score", self.head) / self.system.name,
            inputs=inputs,
            settings={
                "metrics": (*METRICS, *listeners(self.recipe)),
                "most_decibel": MOST_DECIBEL,
                "level": LEVEL_DB,
                "quality_utterances": self.recipe.preset["quality_utterances"],
                "dnsmos": self.recipe.preset["dnsmos"],
                "listened_utterances": self.recipe.preset["listened_utterances"],
            },
            outputs=tuple(f"{self.dataset}.{end}" for end in ("json", "result.txt", "errs.txt")),
            by_content=True,
        )

    @property
    def estimates(self) -> Path:
        """The list of the signals that are measured."""
        return self.data / self.system.input if self.enhanced is None else self.enhanced.out / "spk1.scp"

    @cached_property
    def pairs(self) -> list[Pair]:
        """The signals to compare, group by group of metrics; the same utterances for every system."""
        if not self.measured:
            return []
        references, estimates = read_table(self.data / CLEAN), read_table(self.estimates)
        chosen = spread(list(read_table(self.data / "text_spk1")), self.recipe.quality_utterances)
        judged = set(spread(chosen, self.recipe.listened_utterances))
        groups = tuple((name,) for name in listeners(self.recipe))
        return [
            Pair(utt, references.get(utt), estimates.get(utt), group)
            for utt in chosen
            for group in (*_GROUPS, *(groups if utt in judged else ()))
        ]

    def score(self, measured: Iterator[Measurement]) -> None:
        """Count the errors, take the next measurements, and write the score.

        Args:
            measured: What measure_pair() gave, of which the first belong to `pairs`.
        """
        tables = {name: read_table(self.data / name) for name in ("text_spk1", "utt2category", "utt2spk")}
        path = self.recognized.out / "text"
        try:
            utterances = score_transcripts(
                tables["text_spk1"],
                read_hypotheses(path),
                conditions=tables["utt2category"],
                speakers=tables["utt2spk"],
            )
        except ValueError as error:
            raise RecipeError(f"{path}: {error}") from error
        reasons: dict[str, dict[str, None]] = {}
        for utt, values, reason in islice(measured, len(self.pairs)):
            utterances[utt] = dataclasses.replace(utterances[utt], quality=utterances[utt].quality | values)
            if reason:
                # What no group could measure has one reason.
                reasons.setdefault(utt, {})[reason] = None
        unscorable = {utt: "; ".join(found) for utt, found in reasons.items()}
        score = SetScore(self.system.name, self.dataset, utterances, unscorable)
        self._warn(score)
        listings = {"result": result_text(score, preset=self.recipe.name), "errs": errors_text(score)}
        for name, text in listings.items():
            with atomic_path(self.step.out / f"{self.dataset}.{name}.txt") as tmp:
                tmp.write_text(text, encoding="utf-8")
        with atomic_path(self.step.out / f"{self.dataset}.json") as tmp:
            score.write(tmp)

    def _warn(self, score: SetScore) -> None:
        where = f"{self.system.name} on {self.dataset}"
        if score.missing:
            log(f"warning: {where}: no hypothesis for {', '.join(score.missing)}: counted as deletions")
        cut = self.enhanced.out / "wavs" / CUT if self.enhanced else None
        if cut and cut.exists() and (over := read_table(cut)):
            log(f"warning: {where}: {len(over)} estimates are cut at full scale: {some(over)}")
        for utt, reason in score.unscorable.items():
            log(f"warning: {where}: quality of {utt} not measured: {reason}")


def scorings_of(experiment: Experiment) -> list[SetScoring]:
    """Every system on every test set, references first.

    Raises:
        OptionError: When the preset names no test sets.
    """
    if not experiment.test_sets:
        raise OptionError(f"preset '{experiment.recipe.name}' names no test sets: list them under `test`")
    return [
        SetScoring(experiment, system, name, head)
        for head in experiment.recipe.recognizers
        for system in experiment.systems.values()
        for name in experiment.test_sets
    ]


def score_all(recipe: Recipe, scorings: Sequence[SetScoring]) -> None:
    """Score every system on every test set; what is scored already is left alone.

    Args:
        recipe: The invocation.
        scorings: What scorings_of() gives.
    """
    for scoring in scorings:
        scoring.step.check_inputs()
    todo = [scoring for scoring in scorings if not scoring.step.is_done()]
    if todo and recipe.preset["dnsmos"] and "dnsmos" not in listeners(recipe):
        log(f"DNSMOS is left out: {missing_for_dnsmos()}, or say `dnsmos: false` in the preset")
    measure = partial(measure_pair, dnsmos=dnsmos_folder(recipe))
    pairs = [pair for scoring in todo for pair in scoring.pairs]
    # One pool for all sets: starting a process and importing the libraries takes longer than a set.
    measurements = parallel_map(
        measure, pairs, nj=recipe.nj, description="signal quality", lost=not_measured, seconds=_SECONDS
    )
    with closing(measurements) as measured:
        for scoring in scorings:
            scoring.step.run(partial(scoring.score, measured))
