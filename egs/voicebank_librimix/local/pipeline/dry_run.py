"""What a preset would fetch, make and train: sizes, licenses, disk needed at the peak, updates, GPU hours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.common.audio import SAMPLE_RATE
from local.common.errors import MissingInput, OptionError
from local.common.recipe import RECIPE_DIR, Recipe, read_yaml
from local.common.stages import Stage
from local.common.steps import Step
from local.corpora.acquire import local_archive, missing_archives
from local.corpora.catalogue import Catalogue
from local.corpora.corpus import FLAC, PCM_HOUR, Estimate, Published
from local.corpora.download import human
from local.stages.experiment import Experiment
from local.stages.ssl_model import upstream_options

if TYPE_CHECKING:
    from local.pipeline.pipeline import Pipeline

# Files of one stage that are listed as missing.
_MOST_MISSING = 5


def beginning(pipeline: Pipeline) -> str:
    """Say what the stages asked for need of earlier ones and do not find.

    Args:
        pipeline: What is to be done.

    Returns:
        A line for each missing file, grouped by the stage that makes it; empty where nothing is missing.
    """
    first = min(pipeline.invocation.stages)
    missing: dict[int, dict[Path, None]] = {}
    for job in (job for array in pipeline.arrays() for job in array.jobs_in(pipeline)):
        needed = [given for step in job.steps for given in step.inputs.values()]
        try:
            job.done()
        except MissingInput as error:
            needed.append((error.path, error.stage))
        for path, stage in needed:
            if stage < first and not path.exists():
                missing.setdefault(stage, {})[path] = None
    if not missing:
        return ""
    lines = [f"Begins at stage {first}; missing:"]
    for stage, paths in sorted(missing.items()):
        shown = [*paths][:_MOST_MISSING]
        lines += [f"  {path}: stage {stage} makes it" for path in shown]
        lines += [f"  and {len(paths) - len(shown)} more of stage {stage}"] if len(paths) > len(shown) else []
    return "\n".join([*lines, f"  run from --stage {min(missing)} on, or name the folders that have them"])


def _hours(estimates: Sequence[Estimate]) -> str:
    """How long some sets are together, in words; of each it may be unknown."""
    known = sum(estimate.hours for estimate in estimates)
    if all(estimate.hours for estimate in estimates):
        return f"{known:.1f} hours"
    return f"more than {known:.1f} hours" if known else "hours unknown"


def _size(size: float, *, known: bool) -> str:
    """A number of bytes in words; not `known` where the length of some set is not."""
    if known:
        return f"about {human(size)}"
    return f"more than {human(size)}" if size else "size unknown"


def _upstream(recipe: Recipe) -> tuple[list[str], float]:
    """What stage 2 does to have the SSL model, and the bytes it fetches."""
    options = upstream_options(recipe)
    if options["model"] == "local":
        return ["  SSL model: pre-trained here"], 0.0
    known = read_yaml(RECIPE_DIR / "conf" / "models.yaml").get(options["model"])
    location = Path(options["checkpoint"])
    if known is None:
        return [f"  SSL model: {options['model']}, of unknown size, from {location} or its publisher"], 0.0
    line = f"  SSL model: {known['title']}; license {known['license']}"
    # A folder of a Hugging Face or a CTranslate2 model is taken as it is.
    files = (known["file"], known.get("mirror", known["file"]), "config.json", "model.bin")
    if location.is_file() or any((location / file).is_file() for file in files):
        return [line, f"    is in {location}, nothing is fetched"], 0.0
    return [line, f"    {known['file']}: fetch {human(known['about'])} to {location}"], float(known["about"])


def forecast(corpora: Catalogue) -> str:
    """Say what stages 1 and 2 would do; nothing is fetched or written.

    Args:
        corpora: Of the preset.

    Returns:
        A table of the corpora with their licenses, what is missing of them, and the disk needed.
    """
    lines = [f"Preset {corpora.recipe.name}:"]
    download = unpacked = peak = 0.0
    needed = corpora.needed()
    if any(corpora.maker(name) for name in needed):
        lines.append("  the sources are synthesized here, nothing is fetched")
    for name in (name for name in needed if not corpora.maker(name)):
        corpus, parts = corpora.published(name), needed[name]
        entry, location = corpus.entry, corpus.location
        missing = missing_archives(entry, location.folder, parts)
        wanted = [archive for archive in missing if local_archive(archive, location) is None]
        lines.append(f"  {entry.title}; license {entry.license}")
        if not missing:
            lines.append(f"    is in {location.folder}, nothing is fetched")
        elif location.fixed:
            lines.append(
                f"    {location.folder}, set in db.sh, lacks {', '.join(p for a in missing for p in a.provides)}"
            )
        for archive in () if location.fixed else missing:
            state = f"fetch {human(archive.about)}" if archive in wanted else "is there"
            lines.append(f"    {archive.name}: {state}, unpacks to {human(archive.unpacked)} in {location.shared}")
        if not location.fixed:
            size = sum(archive.about for archive in wanted)
            download += size
            # The archives of a corpus are removed before those of the next are fetched.
            peak = max(peak, unpacked + size + sum(archive.unpacked for archive in missing))
            unpacked += sum(archive.unpacked for archive in missing)
    lines += [f"  {corpora.corpus(name).whereabouts}" for name in _not_there(corpora)]
    model_lines, model_size = _upstream(corpora.recipe)
    lines += model_lines
    download, unpacked = download + model_size, unpacked + model_size
    estimates = [corpora.estimate(spec) for spec in corpora.sets.values()]
    lines += [f"  {note}" for note in dict.fromkeys(estimate.note for estimate in estimates) if note]
    made = sum(estimate.made for estimate in estimates)
    dumped = sum(estimate.signals * estimate.hours * PCM_HOUR * FLAC for estimate in estimates)
    known = all(estimate.hours for estimate in estimates)
    lines += [
        f"  to fetch: {human(download)}",
        f"  made in {corpora.made}: about {human(made)}",
        f"  archives in {corpora.recipe.dumpdir}: {_size(dumped, known=known)}",
        f"  disk needed at the peak: {_size(max(peak, unpacked + made + dumped), known=known)}",
    ]
    return "\n".join(lines)


def _not_there(corpora: Catalogue) -> list[str]:
    """The corpora whose folder is missing, and that nobody fetches or makes."""
    names = dict.fromkeys(spec["corpus"] for spec in corpora.sets.values())
    given = [name for name in names if not isinstance(corpora.corpus(name), Published) and not corpora.maker(name)]
    roots = {name: corpora.corpus(name).root for name in given}
    return [name for name, root in roots.items() if not root.is_relative_to(corpora.made) and not root.exists()]


def _check_counts(config: Mapping[str, Any], where: str) -> None:
    """See that what says how long a training is are whole numbers; ESPnet says so when it is too late.

    Raises:
        OptionError: Naming the training and the key.
    """
    for key in ("max_epoch", "num_iters_per_epoch", "accum_grad", "batch_size", "batch_bins", "chunk_length"):
        value = config.get(key, 1)
        optional = key == "num_iters_per_epoch" and value is None
        if not optional and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise OptionError(f"{where}: {key}: {value!r} is not accepted; give a whole number from 1 on")


def _chunks(config: Mapping[str, Any], utterance: float) -> float:
    """Chunks that ESPnet's iterator cuts an utterance into, on average where lengths vary about this one."""
    length = config["chunk_length"]
    shift = int(length * config.get("chunk_shift_ratio", 0.5))
    return max((utterance * SAMPLE_RATE - length) / shift + 0.5, 0.0)


def _updates(config: Mapping[str, Any], hours: float, utterance: float) -> tuple[int, float]:
    """Updates of a training, and hours of audio it goes through; a pass over the data is `hours`."""
    if config.get("iterator_type") == "chunk":
        # Here `num_iters_per_epoch` counts utterances (espnet2/tasks/abs_task.py, build_chunk_iter_factory).
        utterances = config.get("num_iters_per_epoch") or hours * 3600 / utterance
        batch = config["batch_size"] * config["chunk_length"] / SAMPLE_RATE
        batches = int(utterances * _chunks(config, utterance) / config["batch_size"])
    else:
        by_samples = config["batch_type"] == "numel"
        batch = config["batch_bins"] / SAMPLE_RATE if by_samples else config["batch_size"] * utterance
        batches = config.get("num_iters_per_epoch") or round(hours * 3600 / batch)
    total = max(batches, 1) * config["max_epoch"]
    return total // config.get("accum_grad", 1), total * batch / 3600


def work_ahead(corpora: Catalogue, experiment: Experiment, *, stages: Collection[int] = tuple(Stage)) -> str:
    """Say what stages 3 to 6 train and decode.

    Args:
        corpora: Of the preset; `estimate` in the preset gives the speed that GPU hours come from.
        experiment: The steps.
        stages: Those asked for.

    Returns:
        A line per training with its updates and the audio that passes, one for the decoding, and the sum; empty where
        none of these stages is asked for.
    """
    recipe = corpora.recipe
    estimate = recipe.preset.get("estimate") or {}
    speed = estimate.get("speed", {})
    sizes = {
        role: [corpora.estimate(corpora.sets[name]) for name in recipe.preset[role]]
        for role in ("train", "dev", "test")
    }
    train, dev, test = (sum(size.hours for size in each) for each in sizes.values())
    counts = [size.utterances or 0 for size in sizes["train"]]
    known = train * 3600 / sum(counts) if counts and all(counts) else None
    utterance = known or estimate.get("utterance_seconds", 5.0)
    lengths = {role: _hours(sizes[role]) for role in ("train", "dev")}
    lines, total = [f"Trainings ({lengths['train']} for training, {lengths['dev']} for development):"], 0.0

    def line(text: str, kind: str, audio: float, *, stage: int = Stage.DECODING) -> None:
        nonlocal total
        if stage not in stages:
            return
        hours = audio / speed[kind] if kind in speed else 0.0
        total += hours
        lines.append(
            f"  {text}, "
            + (f"{audio:.1f} hours of audio" if audio else "hours unknown")
            + (f": about {hours:.1f} GPU hours" if hours else "")
        )

    def training(step: Step, kind: str) -> None:
        config = step.settings["config"]
        _check_counts(config, f"config of stage {step.stage} {step.out.name}")
        updates, audio = _updates(config, train, utterance)
        # Chunks are cut of utterances whose lengths are known on average alone.
        about = "about " if config.get("iterator_type") == "chunk" else ""
        text = f"stage {step.stage} {step.out.name}: {about}{updates} updates"
        line(text, kind, audio + config["max_epoch"] * dev, stage=step.stage)

    front_end = experiment.se
    if front_end.name == "import" and Stage.ENHANCEMENT in stages:
        lines.append(f"  stage 3 {front_end.out.name}: published weights {front_end.settings['weights']}, no training")
    elif front_end.name != "import":
        training(front_end, "se")
    for head, step in experiment.heads.items():
        training(step, head)
    for step in experiment.fine_tunings.values():
        training(step, "joint")
    if recipe.development_judge:
        for step in experiment.fine_tunings.values():
            config = step.settings["config"]
            models = _updates(config, train, utterance)[0] // config["keep_every_updates"] + 1
            line(f"stage 6 {step.out.name}: about {models} models on the development set", "decode", models * dev)
    compared, heads = experiment.systems, recipe.recognizers
    decodings = len(compared) * len(recipe.preset["test"]) * len(heads)
    audio = len(compared) * len(heads) * test
    line(f"stage 6: {decodings} decodings ({len(compared)} systems, recognizers {' '.join(heads)})", "decode", audio)
    if total:
        lines.append(f"  together: about {total:.0f} GPU hours, from assumed speeds (`estimate` in the preset)")
    return "\n".join(lines) if len(lines) > 1 else ""
