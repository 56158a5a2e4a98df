"""Stage 8: what each system cost, from what the earlier stages left, and how long its front-end waits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from espnet_plugins.analysis.comparison.cost import Cost
from espnet_plugins.analysis.comparison.curves import read_curve
from local.common.audio import SAMPLE_RATE
from local.common.kaldi_dir import read_table
from local.common.output import atomic_path, log
from local.common.recipe import Recipe
from local.common.stages import Stage
from local.common.steps import Step
from local.stages.experiment import Experiment
from local.stages.systems import System
from local.stages.train_steps import MODEL

_LATENCY = "delay.json"


def latency_step(experiment: Experiment) -> Step:
    """The step that leaves `<expdir>/delay/delay.json`, about the front-end of all systems.

    Fine-tuning moves its weights, not what a sample waits for.
    """
    out = experiment.recipe.expdir / "delay"
    inputs = {"se": experiment.se}
    return Step("delay", stage=Stage.REPORT, out=out, inputs=inputs, outputs=(_LATENCY,), by_content=True)


def measure_latency(experiment: Experiment) -> None:
    """Measure the front-end's algorithmic latency unless that is done, or the front-end is gone."""
    step, front_end = latency_step(experiment), experiment.se.out
    if not (front_end / "espnet" / "config.yaml").exists():
        log(f"[stage {Stage.REPORT}] no latency of the front-end: {front_end / 'espnet' / 'config.yaml'} is missing")
        return

    def measure() -> None:
        from espnet_plugins.enh.latency import algorithmic_latency
        from espnet_plugins.inference.experiment import find_experiment, load_front_end

        samples = algorithmic_latency(load_front_end(find_experiment(front_end)))
        # null: the whole utterance
        content = {"seconds": None if samples == math.inf else samples / SAMPLE_RATE}
        with atomic_path(step.out / _LATENCY) as tmp:
            tmp.write_text(json.dumps(content) + "\n", encoding="utf-8")

    step.run(measure)


def _latency(experiment: Experiment) -> float:
    """Seconds; nan where it was not measured."""
    path = latency_step(experiment).out / _LATENCY
    if not path.exists():
        return math.nan
    seconds = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    return math.inf if seconds is None else seconds


def measure_cost(experiment: Experiment, system: System) -> Cost:
    """Gather the cost of a system: sizes from its models, times from its curve and the records of its steps."""
    recipe, names = experiment.recipe, experiment.test_sets
    sizes = [(step.out / MODEL).stat().st_size for step in system.trained]
    updates = seconds = math.nan
    if system.is_joint:
        curve = read_curve(system.trained[-1].out / "curve.csv")
        updates, seconds = float(curve["updates"][-1]), float(curve["seconds"][-1])
    peaks = _peaks(system.trained[-1]) if system.is_joint else {}
    enhancements: list[Step] = []
    if system.front_end != "none":
        enhancements = [experiment.enhance(system, name) for name in names]
    # What was copied from a set with the same audio took no time, and is no audio that was gone through.
    own = [name for name in names if (system.name, name) not in experiment.duplicates]
    decodings = [experiment.recognize(system, name) for name in own]
    enhanced = [read_table(step.out / "spk1.scp") for step in enhancements]
    decoded = [read_table(recipe.dumpdir / name / system.input) for name in own]
    return Cost(
        updates=updates,
        training_seconds=seconds,
        host_bytes=peaks.get("host_bytes") or math.nan,
        gpu_bytes=peaks.get("gpu_bytes") or math.nan,
        model_bytes=float(sum(sizes)),
        enhancement_factor=_factor(recipe, names, enhancements, enhanced),
        delay_seconds=_latency(experiment) if enhancements else math.nan,
        decoding_factor=_factor(recipe, own, decodings, decoded),
    )


def _peaks(step: Step) -> dict[str, float]:
    """Peak memory of a training; nothing where it was trained before that was recorded."""
    path = step.out / "espnet" / "peak_memory.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _factor(recipe: Recipe, names: Sequence[str], steps: Sequence[Step], utterances: Iterable[Iterable[str]]) -> float:
    """Seconds that the steps of some test sets took per second of the audio they went through; nan when unknown."""
    took, length = 0.0, 0.0
    for step, name, ids in zip(steps, names, utterances, strict=False):
        took += json.loads(step.done.read_text()).get("seconds", math.nan)
        samples = read_table(Path(recipe.dumpdir / name / "utt2num_samples"))
        length += sum(int(samples[utt]) for utt in ids) / SAMPLE_RATE
    return took / length if length else math.nan
