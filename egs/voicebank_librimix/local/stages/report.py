"""Stage 8: the tables of results, the convergence curves, and the report to read and listen to."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
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
from local.common.kaldi_dir import read_table
from local.common.recipe import Recipe, Run, add_common_arguments, add_run_arguments, runs_from_args
from local.common.steps import RecipeError, Step, atomic_path, run_main
from local.stages.cost import delay_step, measure_cost, measure_delay
from local.stages.decode import System, enhance_step, head_folder, systems
from local.stages.probe import probe_step, run_probe
from local.stages.score import SetScoring, load_audio, scorings_from_args
from local.stages.ssl_model import upstream_options, upstream_step
from local.stages.train import joint_step

STAGE = 8
ARCHIVE = f"results{SUFFIX}"
OUTPUTS = ("RESULTS.md", "curves.png", "report.html", ARCHIVE)
# Written where phones are recognised, too.
PAPER_TABLE = "paper_table.md"
_EXAMPLES = 6
# What the systems without a front-end hear.
_INPUTS = {"clean": "spk1.scp", "noisy": "wav.scp"}


def report_step(recipe: Recipe, scorings: Sequence[SetScoring], runs: Sequence[Run]) -> Step:
    """The step that writes the report, with every score, every training and what else was measured as its input."""
    inputs = {}
    for scoring in scorings:
        step = scoring.step()
        inputs[f"{head_folder(scoring.system.name, scoring.head)}.{scoring.dataset}"] = (step.done, step.stage)
    for run in runs:
        training = joint_step(recipe, run)
        inputs[f"curve.{run.name}"] = (training.done, training.stage)
    measured = (probe_step(recipe), delay_step(recipe))
    inputs |= {step.name: (step.done, step.stage) for step in measured if step.done.exists()}
    outputs = OUTPUTS if len(recipe.preset["heads"]) == 1 else (*OUTPUTS, PAPER_TABLE)
    return Step("report", stage=STAGE, out=recipe.expdir, inputs=inputs, outputs=outputs)


def make_examples(recipe: Recipe, scores: Scores, compared: Sequence[System], *, subject: str | None) -> list[Example]:
    """Prepare the utterances to listen to: those on which the enhancing systems differ most.

    Of a configuration with several seeds the first is heard. The soft alignment is that of `subject`.
    """
    aligned = group_seeds(scores).get(subject or "", [""])[0]
    firsts = {seeds[0]: name for name, seeds in group_seeds(scores).items()}
    enhancing = [s for s in compared if s.name in firsts and s.front_end != "none"]
    lists = {
        name: {s.name: read_table(enhance_step(recipe, s, name).out / "spk1.scp") for s in enhancing}
        for name in noisy_sets(scores)
    }
    among = {name: set.intersection(*map(set, by_system.values())) for name, by_system in lists.items()}
    examples = []
    for name, utt in choose_examples(scores, [s.name for s in enhancing], among=among, count=_EXAMPLES):
        inputs = {s: read_table(recipe.dumpdir / name / file)[utt] for s, file in _INPUTS.items()}
        places = {**inputs, **{system: by_utt[utt] for system, by_utt in lists[name].items()}}
        fields = scores["noisy"][name].utterances[utt]
        versions = [
            make_version(
                label(firsts[system]),
                *load_audio(place),
                reference=fields.reference,
                hypothesis=scores[system][name].utterances[utt].hypothesis,
            )
            for system, place in places.items()
        ]
        example = Example(name, utt, fields.condition, fields.reference, versions)
        if aligned in places and upstream_step(recipe).done.exists():
            pair = [load_audio(place)[0] for place in (places["clean"], places[aligned])]
            picture = alignment_picture(speed_alignment(*pair, upstream=upstream_options(recipe)))
            example = dataclasses.replace(example, alignment=picture, aligned=label(firsts[aligned]))
        examples.append(example)
    return examples


def training_settings(recipe: Recipe, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """What each configuration was trained with; what only one seed has is left out."""
    settings = {split_seed(run.name)[0]: joint_step(recipe, run).settings["config"] for run in runs}
    return {name: {key: value for key, value in config.items() if key != "seed"} for name, config in settings.items()}


def write_report(
    recipe: Recipe,
    by_head: Mapping[str, Scores],
    runs: Sequence[Run],
    compared: Sequence[System],
    *,
    probe: ProbeResult | None,
    command: str,
) -> None:
    """Write the archive, RESULTS.md, curves.png and report.html into the experiment directory."""
    tables = {run.name: read_curve(joint_step(recipe, run).out / "curve.csv") for run in runs}
    curves, measure = merge_curves(tables)
    measured = Content(
        title=f"Results of preset {recipe.name}",
        scores=by_head["asr"],
        heads={head: scores for head, scores in by_head.items() if head != "asr"},
        environment=describe_environment(command, date=time.strftime("%F %T %Z")),
        curves=curves,
        measure=measure,
        costs={system.name: measure_cost(recipe, system) for system in compared},
        probe=probe,
        settings=training_settings(recipe, runs),
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
            content, examples=make_examples(recipe, content.scores, compared, subject=content.subject)
        ),
    }
    for name, text in pages.items():
        with atomic_path(recipe.expdir / name) as tmp:
            tmp.write_text(text, encoding="utf-8")


def main() -> None:
    """Write the report where scores or curves changed, and print the word error rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_arguments(add_common_arguments(parser))
    parser.add_argument("--command", default=shlex.join(sys.argv), help="the command line that the report names")
    args = parser.parse_args()
    recipe = Recipe.from_args(args)
    runs = runs_from_args(recipe, args)
    scorings = scorings_from_args(recipe, args)
    report_step(recipe, scorings, runs).check_inputs()
    probe = run_probe(recipe)
    measure_delay(recipe)
    step = report_step(recipe, scorings, runs)
    names = dict.fromkeys(scoring.system.name for scoring in scorings)
    try:
        by_head = {
            head: read_scores(recipe.expdir / head_folder("score", head), systems=names, datasets=recipe.preset["test"])
            for head in recipe.preset["heads"]
        }
        compared, table = systems(recipe, runs), paper_table(by_head)
        step.run(lambda: write_report(recipe, by_head, runs, compared, probe=probe, command=args.command))
    except ScoreError as error:
        raise RecipeError(str(error)) from error
    if len(by_head) > 1:
        print("\nWord and phone error rates (%), mean and standard deviation over seeds\n" + table.plain())
    print("\nWord error rate (%)\n" + word_error_summary(by_head["asr"]).plain())
    print(f"\nTables: {recipe.expdir / 'RESULTS.md'}\nReport: {recipe.expdir / 'report.html'}")


if __name__ == "__main__":
    run_main(main)
