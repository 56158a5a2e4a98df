"""Stage 8: the tables of results, the convergence curves, and the report to read and listen to."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from espnet_plugins.analysis.comparison.comparisons import noisy_sets
from espnet_plugins.analysis.comparison.curves import read_curve
from espnet_plugins.analysis.comparison.experiments import merge_curves
from espnet_plugins.analysis.comparison.paper_table import paper_table
from espnet_plugins.analysis.comparison.plots import save_curves
from espnet_plugins.analysis.comparison.tables import word_error_summary
from espnet_plugins.analysis.probe import ProbeResult
from espnet_plugins.analysis.report.alignment import alignment_picture, speed_alignment
from espnet_plugins.analysis.report.archive import SUFFIX, read_archive, write_archive
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.analysis.report.html_report import render_report
from espnet_plugins.analysis.report.listening import Example, choose_examples, make_version
from espnet_plugins.analysis.report.results import render_results
from espnet_plugins.analysis.scoring.names import label, split_seed
from espnet_plugins.analysis.scoring.scores import ScoreError, Scores, group_seeds, read_scores
from local.common.errors import RecipeError
from local.common.kaldi_dir import read_table
from local.common.output import atomic_path
from local.common.recipe import Recipe, Run
from local.common.signals import load_audio
from local.common.stages import Stage
from local.common.steps import Step
from local.stages.cost import latency_step, measure_cost, measure_latency
from local.stages.decode_steps import head_folder
from local.stages.development import curve_of
from local.stages.experiment import Experiment
from local.stages.probe import probe_step, run_probe
from local.stages.score import SetScoring
from local.stages.ssl_model import upstream_options
from local.stages.systems import CLEAN, NOISY

ARCHIVE = f"results{SUFFIX}"
OUTPUTS = ("RESULTS.md", "curves.png", "report.html", ARCHIVE)
# Written where phones are recognized, too.
PAPER_TABLE = "paper_table.md"
_EXAMPLES = 6
# Of the systems without a front-end.
_INPUTS = {"clean": CLEAN, "noisy": NOISY}


def report_step(experiment: Experiment, scorings: Sequence[SetScoring]) -> Step:
    """The step that writes the report, with every score, every training and what else was measured as its input."""
    inputs = {f"{head_folder(s.system.name, s.head)}.{s.dataset}": s.step for s in scorings}
    inputs |= {f"curve.{run.name}": training for run, training in experiment.fine_tunings.items()}
    if experiment.recipe.development_judge:
        inputs |= {f"development.{run.name}": experiment.development(run) for run in experiment.fine_tunings}
    measured = (probe_step(experiment), latency_step(experiment))
    inputs |= {step.name: step for step in measured if step.done.exists()}
    outputs = OUTPUTS if len(experiment.recipe.recognizers) == 1 else (*OUTPUTS, PAPER_TABLE)
    recipe = experiment.recipe
    settings = {"note": recipe.note} if recipe.note else {}
    return Step("report", stage=Stage.REPORT, out=recipe.expdir, inputs=inputs, settings=settings, outputs=outputs)


def make_examples(experiment: Experiment, scores: Scores, *, subject: str | None) -> list[Example]:
    """Prepare the utterances to listen to: those on which the enhancing systems differ most.

    Of a configuration with several seeds the first is heard. The soft alignment is that of `subject`.
    """
    recipe = experiment.recipe
    aligned = group_seeds(scores).get(subject or "", [""])[0]
    firsts = {seeds[0]: name for name, seeds in group_seeds(scores).items()}
    enhancing = [s for s in experiment.systems.values() if s.name in firsts and s.front_end != "none"]
    lists = {
        name: {s.name: read_table(experiment.enhance(s, name).out / "spk1.scp") for s in enhancing}
        for name in noisy_sets(scores)
    }
    among = {name: set.intersection(*map(set, by_system.values())) for name, by_system in lists.items()}
    examples = []
    for name, utt in choose_examples(scores, [s.name for s in enhancing], among=among, count=_EXAMPLES):
        inputs = {s: read_table(recipe.dumpdir / name / file)[utt] for s, file in _INPUTS.items()}
        locations = {**inputs, **{system: by_utt[utt] for system, by_utt in lists[name].items()}}
        fields = scores["noisy"][name].utterances[utt]
        versions = [
            make_version(
                label(firsts[system]),
                *load_audio(location),
                reference=fields.reference,
                hypothesis=scores[system][name].utterances[utt].hypothesis,
            )
            for system, location in locations.items()
        ]
        example = Example(name, utt, fields.condition, fields.reference, versions)
        if aligned in locations and experiment.ssl.done.exists():
            pair = [load_audio(location)[0] for location in (locations["clean"], locations[aligned])]
            picture = alignment_picture(speed_alignment(*pair, upstream=upstream_options(recipe)))
            example = dataclasses.replace(example, alignment=picture, aligned=label(firsts[aligned]))
        examples.append(example)
    return examples


def training_settings(fine_tunings: Mapping[Run, Step]) -> dict[str, dict[str, Any]]:
    """What each configuration was trained with; what only one seed has is left out."""
    settings = {split_seed(run.name)[0]: step.settings["config"] for run, step in fine_tunings.items()}
    return {name: {key: value for key, value in config.items() if key != "seed"} for name, config in settings.items()}


def write_report(
    experiment: Experiment,
    by_head: Mapping[str, Scores],
    *,
    probe: ProbeResult | None,
    command: str,
) -> None:
    """Write the archive, RESULTS.md, curves.png and report.html into the experiment directory."""
    recipe = experiment.recipe
    tables = {run.name: read_curve(curve_of(experiment, run)) for run in experiment.fine_tunings}
    curves, measure = merge_curves(tables)
    measured = Content(
        title=f"Results of preset {recipe.name}",
        scores=by_head[recipe.recognizers[0]],
        heads={head: scores for head, scores in by_head.items() if head != recipe.recognizers[0]},
        environment=describe_environment(command, date=time.strftime("%F %T %Z")),
        curves=curves,
        measure=measure,
        costs={name: measure_cost(experiment, system) for name, system in experiment.systems.items()},
        probe=probe,
        settings=training_settings(experiment.fine_tunings),
        note=recipe.note,
    )
    with atomic_path(recipe.expdir / ARCHIVE) as tmp:
        write_archive(measured, tmp)
        # What is shown is what was stored, so that the archive alone gives the same tables again.
        content = read_archive(tmp)
    with atomic_path(recipe.expdir / "curves.png") as tmp:
        save_curves(content.curves, content.measure, tmp)
    pages = {
        **({PAPER_TABLE: f"{content.by_head.markdown()}\n"} if content.heads else {}),
        "RESULTS.md": render_results(content),
        "report.html": render_report(
            content, examples=make_examples(experiment, content.scores, subject=content.subject)
        ),
    }
    for name, text in pages.items():
        with atomic_path(recipe.expdir / name) as tmp:
            tmp.write_text(text, encoding="utf-8")


def report(experiment: Experiment, scorings: Sequence[SetScoring], *, command: str) -> None:
    """Write the report where scores or curves changed, and print the error rates.

    Args:
        experiment: The steps.
        scorings: What scorings_of() gives.
        command: The command line that the report names.

    Raises:
        RecipeError: When a score cannot be read.
    """
    recipe = experiment.recipe
    report_step(experiment, scorings).check_inputs()
    probe = run_probe(experiment)
    measure_latency(experiment)
    step = report_step(experiment, scorings)
    try:
        by_head = _read_scores(recipe, list(experiment.systems))
        table = paper_table(by_head)
        step.run(lambda: write_report(experiment, by_head, probe=probe, command=command))
    except ScoreError as error:
        raise RecipeError(str(error)) from error
    if recipe.note:
        print(f"\n{recipe.note}")
    if len(by_head) > 1:
        print("\nError rates (%) by recognizer, mean and standard deviation over seeds\n" + table.plain())
    print("\nWord error rate (%)\n" + word_error_summary(by_head[recipe.recognizers[0]]).plain())
    print(f"\nTables: {recipe.expdir / 'RESULTS.md'}\nReport: {recipe.expdir / 'report.html'}")


def _read_scores(recipe: Recipe, systems: Sequence[str]) -> dict[str, Scores]:
    return {
        head: read_scores(recipe.expdir / head_folder("score", head), systems=systems, datasets=recipe.preset["test"])
        for head in recipe.recognizers
    }
