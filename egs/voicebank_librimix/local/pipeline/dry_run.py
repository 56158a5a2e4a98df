"""What a preset would fetch, make and train: sizes, licences, disk needed at the peak, updates, GPU hours."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.common.audio import RATE
from local.common.recipe import (
    RECIPE_DIR,
    Recipe,
    Run,
    add_common_arguments,
    add_run_arguments,
    read_yaml,
    runs_from_args,
)
from local.common.steps import Step, run_main
from local.corpora import csv_corpus
from local.corpora.acquire import local_archive, missing_archives
from local.corpora.catalogue import Corpora, add_arguments, from_args
from local.corpora.download import human
from local.corpora.librimix_mixing import components
from local.stages.decode import systems
from local.stages.ssl_model import upstream_options
from local.stages.train import head_steps, joint_step, se_step

# Size of FLAC relative to 16-bit samples, for clean and noisy speech alike.
_FLAC = 0.6
_PCM_HOUR = 3600 * 16000 * 2
# Average length of a sentence of the embedded corpus and of a string of digits, in seconds.
_SECONDS = {"mini": 2.45, "digits": 2.85}


def _hours(corpora: Corpora, spec: Mapping[str, Any]) -> float:
    """About how long a set is; 0 for a corpus of one's own that is not there yet."""
    kind = spec["corpus"]
    if kind == "custom":
        table = corpora.root("custom") / f"{spec['part']}.csv"
        found = csv_corpus.utterances(table, nj=corpora.recipe.nj) if table.is_file() else []
        return sum(utterance.samples / utterance.rate for utterance in found) / 3600
    if corpora.synthetic or kind == "digits":
        settings = corpora.options("mini" if corpora.synthetic else "digits")
        counts = settings.get(kind, settings)
        part = str(spec.get("part") or spec.get("split")).split("_")[0].split("-")[0]
        return counts.get(part, 0) * _SECONDS["mini" if corpora.synthetic else "digits"] / 3600
    facts = {"librimix": "librimix_metadata", "noisy_librispeech": "librispeech"}
    hours = corpora.registry[facts.get(kind, kind)].facts["hours"]
    return float(hours.get(str(spec.get("part") or spec.get("split")).split("_")[0], 0))


def _made(corpora: Corpora, spec: Mapping[str, Any]) -> float:
    """Bytes that stage 1 writes for a set."""
    kind, hours = spec["corpus"], _hours(corpora, spec)
    if kind == "librimix":
        parts = components(spec.get("type", "mix_single"), corpora.options("librimix").get("sources", 2))
        made = (1 + len(parts)) * hours * 3600 * spec.get("rate", 16000) * 2
        return made + (3 * hours * _PCM_HOUR if corpora.synthetic else 0)
    if kind == "noisy_librispeech":
        return hours * _PCM_HOUR * _FLAC
    if kind == "digits":
        return 2 * hours * _PCM_HOUR
    # The embedded corpus writes clean and noisy files at 48 kHz.
    return 2 * 3 * hours * _PCM_HOUR if corpora.synthetic else 0


def _dumped(corpora: Corpora, spec: Mapping[str, Any]) -> float:
    """Bytes of a set's archives."""
    signals = 2
    if spec["corpus"] == "librimix":
        signals = 1 + len(components(spec.get("type", "mix_single"), corpora.options("librimix").get("sources", 2)))
    return signals * _hours(corpora, spec) * _PCM_HOUR * _FLAC


def _upstream(recipe: Recipe) -> tuple[list[str], float]:
    """What stage 2 does to have the SSL model, and the bytes it fetches."""
    options = upstream_options(recipe)
    if options["model"] == "local":
        return ["  SSL model: pre-trained here"], 0.0
    known = read_yaml(RECIPE_DIR / "conf" / "models.yaml").get(options["model"])
    place = Path(options["checkpoint"])
    if known is None:
        return [f"  SSL model: {options['model']}, of unknown size, from {place} or its publisher"], 0.0
    line = f"  SSL model: {known['title']}; licence {known['licence']}"
    if place.is_file() or (place / known["file"]).is_file():
        return [line, f"    is in {place}, nothing is fetched"], 0.0
    return [line, f"    {known['file']}: fetch {human(known['about'])} to {place}"], float(known["about"])


def forecast(corpora: Corpora) -> str:
    """Say what stages 1 and 2 would do; nothing is fetched or written.

    Args:
        corpora: Of the preset.

    Returns:
        A table of the corpora with their licences, what is missing of them, and the disk needed.
    """
    lines = [f"Preset {corpora.recipe.name}:"]
    download = unpacked = peak = 0.0
    if corpora.synthetic:
        lines.append("  the sources are synthesised here, nothing is fetched")
    for corpus, parts in ({} if corpora.synthetic else corpora.needed()).items():
        entry, place = corpora.registry[corpus], corpora.place(corpus)
        missing = missing_archives(entry, place.folder, parts)
        wanted = [archive for archive in missing if local_archive(archive, place) is None]
        lines.append(f"  {entry.title}; licence {entry.licence}")
        if not missing:
            lines.append(f"    is in {place.folder}, nothing is fetched")
        elif place.fixed:
            lines.append(f"    {place.folder}, set in db.sh, lacks {', '.join(p for a in missing for p in a.provides)}")
        for archive in () if place.fixed else missing:
            state = f"fetch {human(archive.about)}" if archive in wanted else "is there"
            lines.append(f"    {archive.name}: {state}, unpacks to {human(archive.unpacked)} in {place.shared}")
        if not place.fixed:
            size = sum(archive.about for archive in wanted)
            download += size
            # The archives of a corpus are removed before those of the next are fetched.
            peak = max(peak, unpacked + size + sum(archive.unpacked for archive in missing))
            unpacked += sum(archive.unpacked for archive in missing)
    model_lines, size = _upstream(corpora.recipe)
    lines += model_lines
    download, unpacked = download + size, unpacked + size
    sets = corpora.sets.values()
    for part in dict.fromkeys(spec["part"] for spec in sets if spec["corpus"] == "custom"):
        if not (table := corpora.root("custom") / f"{part}.csv").is_file():
            lines.append(f"  your own corpus: {table} is not there, so its size is not in the figures below")
    made, dumped = (sum(size(corpora, spec) for spec in sets) for size in (_made, _dumped))
    lines += [
        f"  to fetch: {human(download)}",
        f"  made in {corpora.made}: about {human(made)}",
        f"  archives in {corpora.recipe.dumpdir}: about {human(dumped)}",
        f"  disk needed at the peak: about {human(max(peak, unpacked + made + dumped))}",
    ]
    return "\n".join(lines)


def _batch_seconds(config: Mapping[str, Any], utterance: float) -> float:
    """Seconds of audio in one batch, padding included."""
    if config.get("iterator_type") == "chunk":
        return config["batch_size"] * config["chunk_length"] / RATE
    if config["batch_type"] == "numel":
        return config["batch_bins"] / RATE
    return config["batch_size"] * utterance


def _updates(config: Mapping[str, Any], hours: float, utterance: float) -> tuple[int, float]:
    """Updates of a training, and hours of audio it goes through; a pass over the data is `hours`."""
    batch = _batch_seconds(config, utterance)
    batches = config.get("num_iters_per_epoch") or max(round(hours * 3600 / batch), 1)
    total = batches * config["max_epoch"]
    return total // config.get("accum_grad", 1), total * batch / 3600


def work_ahead(corpora: Corpora, runs: Sequence[Run]) -> str:
    """Say what stages 3 to 6 train and decode.

    Args:
        corpora: Of the preset; `estimate` in the preset gives the speed that GPU hours come from.
        runs: Of stage 5.

    Returns:
        A line per training with its updates and the audio that passes, one for the decoding, and the sum.
    """
    recipe = corpora.recipe
    estimate = recipe.preset.get("estimate", {})
    speed, utterance = estimate.get("speed", {}), estimate.get("utterance_seconds", 5.0)
    train, dev, test = (
        sum(_hours(corpora, corpora.sets[name]) for name in recipe.preset[role]) for role in ("train", "dev", "test")
    )
    lines, total = [f"Trainings ({train:.1f} hours for training, {dev:.1f} for development):"], 0.0

    def line(text: str, kind: str, audio: float) -> None:
        nonlocal total
        hours = audio / speed[kind] if kind in speed else 0.0
        total += hours
        lines.append(f"  {text}, {audio:.1f} hours of audio" + (f": about {hours:.1f} GPU hours" if hours else ""))

    def training(step: Step, kind: str) -> None:
        config = step.settings["config"]
        updates, audio = _updates(config, train, utterance)
        line(f"stage {step.stage} {step.out.name}: {updates} updates", kind, audio + config["max_epoch"] * dev)

    front_end = se_step(recipe)
    if front_end.name == "import":
        lines.append(f"  stage 3 {front_end.out.name}: published weights {front_end.settings['weights']}, no training")
    else:
        training(front_end, "se")
    for head, step in head_steps(recipe).items():
        training(step, head)
    for run in runs:
        training(joint_step(recipe, run), "joint")
    compared, heads = systems(recipe, runs), recipe.preset["heads"]
    decodings = len(compared) * len(recipe.preset["test"]) * len(heads)
    audio = len(compared) * len(heads) * test
    line(f"stage 6: {decodings} decodings ({len(compared)} systems, heads {' '.join(heads)})", "decode", audio)
    if total:
        lines.append(f"  together: about {total:.0f} GPU hours, from assumed speeds (`estimate` in the preset)")
    return "\n".join(lines)


def main() -> None:
    """Print the plan."""
    parser = add_run_arguments(add_arguments(add_common_arguments(argparse.ArgumentParser(description=__doc__))))
    args = parser.parse_args()
    corpora = from_args(args)
    print(forecast(corpora))
    print(work_ahead(corpora, runs_from_args(corpora.recipe, args)))


if __name__ == "__main__":
    run_main(main)
