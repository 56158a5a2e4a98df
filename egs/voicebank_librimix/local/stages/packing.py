"""Stages 9 and 10: the model of each run as one file with a model card, and that file on a hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_plugins.analysis.comparison.tables import word_error_summary
from espnet_plugins.analysis.report.archive import read_archive
from espnet_plugins.analysis.scoring.names import label, split_seed
from local.common.errors import RecipeError
from local.common.output import atomic_path, log
from local.common.recipe import RECIPE_DIR, Recipe, Run, read_yaml
from local.common.stages import Stage
from local.common.steps import Step
from local.corpora.catalogue import Catalogue
from local.stages.experiment import Experiment
from local.stages.report import ARCHIVE
from local.stages.ssl_model import upstream_options

if TYPE_CHECKING:
    from espnet_plugins.packing import Card, Source

MODEL, FRONT_END = "model.zip", "front_end.zip"
_UPLOADED = "uploaded.txt"
_RESULTS = "RESULTS.md"
_PAPER = (
    'the objectives: "Position-invariant fine-tuning of speech enhancement models with self-supervised speech '
    'representations", ICASSP 2026 (arXiv 2601.21084)'
)


def pack_step(experiment: Experiment, run: Run) -> Step:
    """Stage 9: leaves the packed model of a run; of a joint one its front-end beside it."""
    recipe = experiment.recipe
    return Step(
        "pack",
        stage=Stage.PACKING,
        out=recipe.expdir / "packed" / run.name,
        inputs={
            "model": experiment.fine_tunings[run],
            "report": (recipe.expdir / ".report.done", Stage.REPORT),
        },
        settings={"license": recipe.preset.get("model_license")},
        outputs=(MODEL,),
    )


def upload_step(experiment: Experiment, run: Run, *, repository: str) -> Step:
    """Stage 10: leaves the address of what was uploaded."""
    packed = pack_step(experiment, run)
    settings = {"repository": repository}
    return Step(
        "upload", stage=Stage.UPLOAD, out=packed.out, inputs={"pack": packed}, settings=settings, outputs=(_UPLOADED,)
    )


def sources(recipe: Recipe, corpora: Catalogue) -> list[Source]:
    """What the models of a preset are made of, with its license."""
    from espnet_plugins.inference.published import PUBLISHED
    from espnet_plugins.packing import Source

    found: dict[str, Source] = {}
    for name in corpora.needed():
        if maker := corpora.maker(name):
            text = f"corpus {maker.name} of this repository, in the layout of the published corpora"
            found[maker.name] = Source(text, "synthesized by the recipe")
        else:
            entry = corpora.published(name).entry
            found[name] = Source(entry.title, entry.license)
    for spec in corpora.sets.values():
        if spec["corpus"] in found or corpora.maker(spec["corpus"]):
            continue
        listed = {source.name for source in found.values()}
        origins = corpora.corpus(spec["corpus"]).origins(spec)
        found |= {text: Source(text, license) for text, license in origins if text not in listed}
    options = upstream_options(recipe)
    known = read_yaml(RECIPE_DIR / "conf" / "models.yaml").get(options["model"])
    if known:
        found["upstream"] = Source(known["title"], known["license"])
    elif options["model"] == "local":
        found["upstream"] = Source("an SSL model, pre-trained by the recipe on the same speech", "as the speech")
    else:
        found["upstream"] = Source(f"SSL model {options['model']}", "its publisher's")
    if weights := recipe.preset["front_end_weights"]:
        found["front end"] = Source(f"published front-end {weights}", PUBLISHED[weights].family.license)
    return list(found.values())


def _command(recipe: Recipe, run: Run) -> str:
    """What makes this model, without the places of this machine that the report's command may name."""
    chosen = f"--objectives {run.objective} --finetune {run.finetune} --seeds {run.seed}"
    return f"egs/{RECIPE_DIR.name}/run.sh --preset {recipe.name} {chosen}"


def notices(experiment: Experiment, corpora: Catalogue) -> dict[str, Path]:
    """Files about licenses that go with every model: of imported weights, of recordings."""
    found: dict[str, Path] = {}
    for name in {spec["corpus"] for spec in corpora.sets.values()}:
        found |= corpora.corpus(name).notices()
    imported = experiment.se.out / "espnet" / "LICENSE"
    return found | ({"LICENSE": imported} if imported.is_file() else {})


def _card(experiment: Experiment, run: Run, corpora: Catalogue) -> Card:
    from espnet_plugins.packing import Card

    recipe = experiment.recipe
    content = read_archive(recipe.expdir / ARCHIVE)
    made: Mapping[str, str] = content.environment
    table = word_error_summary(content.scores).markdown()
    return Card(
        f"{label(split_seed(run.name)[0])}, preset {recipe.name}",
        description=f"Front-end {recipe.preset['front_end']}, run `{run.name}`.",
        license=recipe.preset.get("model_license"),
        sources=sources(recipe, corpora),
        commands=[_command(recipe, run)],
        environment={key: value for key, value in made.items() if key != "command"},
        results=f"Word error rate (%) of all that was compared; `{_RESULTS}` has the intervals.\n\n{table}",
        cite=[_PAPER],
    )


def pack_run(experiment: Experiment, run: Run, corpora: Catalogue) -> None:
    """Stage 9: pack the model of a run.

    Args:
        experiment: The steps.
        run: Which.
        corpora: Of the preset, whose licenses the card names.

    Raises:
        MissingInput: Before stages 5 and 8 are done.
        RecipeError: When the model cannot be packed.
    """
    # Here, not above: it brings torch and ESPnet, which no other start of the recipe needs.
    from espnet_plugins.packing import pack_model

    recipe, step = experiment.recipe, pack_step(experiment, run)

    def work() -> None:
        (step.out / FRONT_END).unlink(missing_ok=True)
        card = _card(experiment, run, corpora)
        results = (recipe.expdir / _RESULTS).read_text(encoding="utf-8")
        if typed := read_archive(recipe.expdir / ARCHIVE).environment.get("command"):
            results = results.replace(typed, _command(recipe, run))
        with atomic_path(step.out / _RESULTS) as temporary:
            temporary.write_text(results, encoding="utf-8")
        beside = {_RESULTS: step.out / _RESULTS}
        try:
            model = experiment.fine_tunings[run].out
            packed = pack_model(model, step.out / MODEL, card=card, beside=beside)
            if packed.kind == "joint":
                pack_model(model, step.out / FRONT_END, card=card, beside=beside, front_end=True)
        except (ValueError, OSError) as error:
            raise RecipeError(f"{run.name}: {error}") from error
        for note in packed.notes:
            log(f"[stage {Stage.PACKING}] {run.name}: {note}")

    step.run(work)


def upload_run(experiment: Experiment, run: Run, *, repository: str | None) -> None:
    """Stage 10: upload the packed model of a run; without a repository only say what would be.

    Args:
        experiment: The steps.
        run: Which.
        repository: "OWNER/NAME".

    Raises:
        MissingInput: Before stage 9 is done.
        RecipeError: When the hub refuses or is not reached.
    """
    from espnet_plugins.packing import UploadError, packed_files, upload_packed

    pack = pack_step(experiment, run)
    if repository is None:
        if not pack.is_done():
            log(f"[stage {Stage.UPLOAD}] {run.name}: stage {Stage.PACKING} packs it first")
            return
        files = packed_files(pack.out / MODEL)
        size = sum(size for _, size in files) / 1e6
        log(
            f"[stage {Stage.UPLOAD}] {run.name}: not uploaded ({size:.1f} MB: {', '.join(name for name, _ in files)}); "
            "--upload_repo OWNER/NAME uploads the one run that is asked for"
        )
        return
    step = upload_step(experiment, run, repository=repository)

    def work() -> None:
        try:
            address = upload_packed(pack.out / MODEL, repository)
        except (UploadError, ValueError, OSError) as error:
            raise RecipeError(str(error)) from error
        with atomic_path(step.out / _UPLOADED) as temporary:
            temporary.write_text(f"{address}\n", encoding="utf-8")
        log(f"[stage {Stage.UPLOAD}] {run.name}: {address}, seen by its owner alone until it is opened there")

    step.run(work)
