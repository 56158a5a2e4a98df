"""Stage 6: how a fine-tuning of the front-end went: a judge decodes the development set with each model it kept."""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from espnet_plugins.analysis.comparison.curves import COLUMNS, JUDGED, read_curve
from espnet_plugins.analysis.comparison.loops import is_loop
from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.scores import UtteranceScore
from local.common.errors import RecipeError
from local.common.kaldi_dir import read_table, transcribed
from local.common.output import atomic_path
from local.common.recipe import Run
from local.common.steps import Step
from local.stages.decode import run_front_end
from local.stages.experiment import Experiment
from local.stages.judges import transcribe


def kept_models(training: Step) -> dict[int, Path]:
    """The models that a fine-tuning kept at intervals (`keep_every_updates`), by their number of updates.

    Raises:
        RecipeError: When there are fewer than two, which make no curve.
    """
    from espnet_plugins.train.checkpoint import KEPT

    folder = training.out / "espnet" / KEPT
    found = {int(path.stem): path for path in folder.glob("*.pth") if path.stem.isdecimal()}
    if len(found) < 2:
        raise RecipeError(
            f"{folder} holds {len(found)} models and a curve takes two: give a smaller `keep_every_updates`, or train "
            "again"
        )
    return dict(sorted(found.items()))


def follow(experiment: Experiment, run: Run) -> None:
    """Decode the development set with every kept model of a fine-tuning, unless that is done.

    Leaves `curve.csv`, a curve as trainings leave it whose measure is the judge's word error rate (a loop counts as an
    utterance not understood), and the transcripts by number of updates.

    Args:
        experiment: Its recipe names the judge.
        run: Which fine-tuning.

    Raises:
        RecipeError: When no model was kept, or the development set has no transcripts.
    """
    step = experiment.development(run)
    step.run(partial(_follow, experiment, run, step))


def _follow(experiment: Experiment, run: Run, step: Step) -> None:
    recipe, training = experiment.recipe, experiment.fine_tunings[run]
    kept = kept_models(training)
    data = transcribed(recipe.dumpdir / "dev")
    references = read_table(data / "text_spk1")
    start, rates = time.monotonic(), []
    with atomic_path(step.out / "transcripts") as texts:
        texts.mkdir(parents=True)
        for count, (updates, model) in enumerate(kept.items(), 1):
            # The signals of one model are gone before those of the next are made.
            with tempfile.TemporaryDirectory(prefix=".signals.", dir=step.out) as folder:
                tmp = Path(folder)
                config = training.out / "espnet" / "config.yaml"
                audio = run_front_end(
                    recipe, data / "wav.scp", config=config, model=model, onednn=step.settings["onednn"], out=tmp
                )
                found = transcribe(recipe, step.settings["judge"], audio)
            try:
                scores = score_transcripts(references, found, conditions={}, speakers={})
            except ValueError as error:
                raise RecipeError(f"development set of preset '{recipe.name}', {run.name}: {error}") from error
            rates.append(rate_without_loops(scores.values()))
            (texts / f"{updates}").write_text("".join(f"{utt} {text}".strip() + "\n" for utt, text in found.items()))
            left = (time.monotonic() - start) / count * (len(kept) - count)
            print(f"PROGRESS {count} of {len(kept)} models of {run.name}, {left:.0f} seconds left", flush=True)
    _write(step.out / "curve.csv", list(kept), rates, training=training)


def rate_without_loops(scores: Collection[UtteranceScore]) -> float:
    """The word error rate, an utterance on which the judge loops counted as not understood: all its words are wrong.

    One loop is worth dozens of errors, which on a development set of a few utterances hides the curve. Left out, the
    utterance would be another set for each point.

    Args:
        scores: Those of a set, with a word at least in it.

    Example:
        >>> from espnet_plugins.analysis.scoring.scores import ErrorCounts
        >>> words = (ErrorCounts(10, 1, 0, 0), ErrorCounts(5, 0, 0, 100))
        >>> rate_without_loops([UtteranceScore("", "", each, ErrorCounts()) for each in words])
        0.375
    """
    errors = sum(each.words.reference if is_loop(each) else each.words.errors for each in scores)
    return errors / sum(each.words.reference for each in scores)


def _write(path: Path, updates: Sequence[int], rates: Sequence[float], *, training: Step) -> None:
    """Write the curve; the seconds of training are those of its own curve, between epochs in proportion."""
    known = read_curve(training.out / "curve.csv")
    seconds = np.interp(updates, [0, *known["updates"]], [0, *known["seconds"]])
    with atomic_path(path) as tmp, tmp.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, (*COLUMNS, JUDGED), restval="")
        writer.writeheader()
        for number, rate, second in zip(updates, rates, seconds, strict=True):
            writer.writerow({"updates": number, "seconds": round(float(second), 2), JUDGED: round(rate, 6)})


def curve_of(experiment: Experiment, run: Run) -> Path:
    """The curve of a fine-tuning to show: what a judge made of the development set, else what the training reported."""
    shown = experiment.development(run) if experiment.recipe.development_judge else experiment.fine_tunings[run]
    return shown.out / "curve.csv"
