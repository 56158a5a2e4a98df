"""Stage 6: every system enhances and recognizes every test set, through ESPnet's decoders."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from espnet_plugins.atomic import remove
from local.common.audio import SAMPLE_RATE
from local.common.errors import RecipeError
from local.common.kaldi_dir import read_table, write_table
from local.common.output import atomic_path
from local.common.recipe import Recipe
from local.common.steps import Step
from local.corpora.corpus import some
from local.stages.decode_steps import CUT, is_one_model
from local.stages.experiment import Experiment
from local.stages.judges import transcribe
from local.stages.systems import NOISY, System
from local.stages.train_steps import MODEL

# Utterances that are encoded together unless decode_*.yaml says otherwise: the hypotheses are the same. With 16, and
# oneDNN off, mini took three times as long.
_TOGETHER = 8


def own_pairs(experiment: Experiment) -> list[tuple[System, str]]:
    """The pairs of a system and a test set that are decoded; the others are their duplicates."""
    return [(system, name) for system, name in experiment.pairs if (system.name, name) not in experiment.duplicates]


def shard(experiment: Experiment, number: int, count: int) -> list[tuple[System, str]]:
    """The pairs that one of several processes decodes.

    Args:
        experiment: The steps.
        number: From 1 to `count`.
        count: How many processes share the work.
    """
    return own_pairs(experiment)[number - 1 :: count]


def decode(experiment: Experiment, pairs: Sequence[tuple[System, str]]) -> None:
    """Decode the given pairs, with progress for the process that started this one."""
    start = time.monotonic()
    for count, (system, name) in enumerate(pairs):
        if system.front_end != "none":
            step = experiment.enhance(system, name)
            step.run(partial(enhance, experiment.recipe, system, name, step))
        for head in experiment.recipe.recognizers:
            step = experiment.recognize(system, name, head)
            work = judge if head in experiment.recipe.judges else recognize
            step.run(partial(work, experiment, system, name, head))
        left = (time.monotonic() - start) / (count + 1) * (len(pairs) - count - 1)
        print(f"PROGRESS {count + 1} of {len(pairs)} decodings, {left:.0f} seconds left", flush=True)


def enhance(recipe: Recipe, system: System, name: str, step: Step) -> None:
    """Enhance a test set, or the utterances of it that are measured."""
    from espnet_plugins.analysis.scoring.quality import spread

    scp = recipe.dumpdir / name / NOISY
    trained = system.trained[0].out
    with atomic_path(step.out / "wavs") as tmp:
        tmp.mkdir(parents=True)
        chosen = read_table(scp)
        if wanted := step.settings["utterances"]:
            chosen = {utt: chosen[utt] for utt in spread(sorted(chosen), wanted)}
        write_table(tmp / "keys", chosen)
        written = read_table(
            run_front_end(
                recipe,
                scp,
                config=trained / "espnet" / "config.yaml",
                model=trained / MODEL,
                joint=system.front_end == "joint",
                onednn=step.settings["onednn"],
                out=tmp / "out",
                keys=tmp / "keys",
            )
        )
        if lost := sorted(chosen.keys() - written.keys()):
            raise RecipeError(f"{system.name} on {name}: {len(lost)} of {len(chosen)} were not enhanced: {some(lost)}")
        for path in written.values():
            os.replace(path, tmp / Path(path).name)
        os.replace(tmp / "out" / CUT, tmp / CUT)
        # ESPnet's own list names the temporary folder.
        remove(tmp / "out")
        audio = {utt: str(step.out / "wavs" / Path(path).name) for utt, path in written.items()}
    write_table(step.out / "spk1.scp", audio)


def run_front_end(
    recipe: Recipe,
    scp: Path,
    *,
    config: Path,
    model: Path,
    onednn: bool,
    out: Path,
    joint: bool = False,
    keys: Path | None = None,
) -> Path:
    """Run ESPnet's enhancement.

    Args:
        recipe: The invocation.
        scp: The list of what is enhanced.
        config: Of the training.
        model: Its weights.
        onednn: Whether oneDNN computes.
        out: A folder for what ESPnet writes.
        joint: Whether the front-end is that of a joint model.
        keys: A list of the utterances of `scp` that are wanted; all where left out.

    Returns:
        The list of the enhanced signals; one that could not be enhanced is not in it. Beside it lies `CUT`: those
        above full scale, with their greatest value.
    """
    from espnet_plugins.bin import enh_inference

    command = ["--output_dir", str(out), "--fs", str(SAMPLE_RATE), "--num_workers", "0", "--output_format", "flac"]
    command += ["--data_path_and_name_and_type", f"{scp},speech_mix,kaldi_ark", "--key_file", str(keys or scp)]
    command += ["--train_config", str(config), "--model_file", str(model)]
    command += ["--enh_s2t_task", str(joint).lower(), "--log_level", "WARNING", *_device(recipe)]
    cut = enh_inference.main(command, use_onednn=onednn)
    write_table(out / CUT, {Path(path).stem: f"{peak:.2f}" for path, peak in cut.items()})
    return out / "spk1.scp"


def _device(recipe: Recipe) -> list[str]:
    """One GPU or none, for ESPnet."""
    return ["--ngpu", str(min(recipe.ngpu, 1))]


def recognize(experiment: Experiment, system: System, name: str, head: str) -> None:
    """Run ESPnet's beam search; keep the transcripts."""
    from espnet_plugins.bin import asr_inference
    from espnet_plugins.inference.batch_recognition import NotRecognized

    recipe, step = experiment.recipe, experiment.recognize(system, name, head)
    trained = (system.trained[-1] if head == "asr" else experiment.heads[head]).out
    joint = is_one_model(system, head)
    audio = recipe.dumpdir / name / system.input if joint else experiment.heard(system, name)
    with atomic_path(step.out / "espnet") as tmp:
        command = ["--output_dir", str(tmp), "--num_workers", "0", "--log_level", "WARNING"]
        command += ["--data_path_and_name_and_type", f"{audio},speech,kaldi_ark"]
        # Of phones, some utterances may have no reference.
        command += ["--key_file", str(experiment.data_of(head) / name / "wav.scp")]
        command += ["--asr_train_config", str(trained / "espnet" / "config.yaml")]
        command += ["--asr_model_file", str(trained / MODEL), "--enh_s2t_task", str(joint).lower()]
        command += _device(recipe)
        decoding = {"batch_size": _TOGETHER, **step.settings["decoding"]}
        use_onednn = decoding.pop("onednn")
        for option, value in decoding.items():
            command += [f"--{option}", str(value)]
        try:
            asr_inference.main(command, use_onednn=use_onednn)
        except NotRecognized as error:
            raise RecipeError(f"{system.name} on {name}: not recognized: {error}") from error
    results = step.out / "espnet" / "1best_recog" / ("text_spk1" if joint else "text")
    # An utterance in which nothing was recognized keeps its line, with the id alone.
    lines = [line.strip() for line in results.read_text(encoding="utf-8").splitlines()]
    recognized = {line.split(maxsplit=1)[0] for line in lines if line}
    _check_all(f"{system.name} on {name}", experiment, head, name, recognized)
    with atomic_path(step.out / "text") as tmp:
        tmp.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _check_all(what: str, experiment: Experiment, head: str, name: str, recognized: Collection[str]) -> None:
    """Insist on a line for every utterance: one without would count as words that were not recognized.

    Raises:
        RecipeError: Naming some that have none.
    """
    asked = read_table(experiment.data_of(head) / name / "wav.scp")
    if lost := sorted(asked.keys() - recognized):
        raise RecipeError(f"{what}: {len(lost)} of {len(asked)} were not recognized: {some(lost)}")


def judge(experiment: Experiment, system: System, name: str, head: str) -> None:
    """Let a recognizer that nobody here trained write the transcripts."""
    recipe, step = experiment.recipe, experiment.recognize(system, name, head)
    text = transcribe(recipe, head, experiment.heard(system, name))
    _check_all(f"{head} behind {system.name} on {name}", experiment, head, name, text)
    with atomic_path(step.out / "text") as tmp:
        tmp.write_text("".join(f"{utt} {words}".strip() + "\n" for utt, words in text.items()), encoding="utf-8")


def copy_transcripts(experiment: Experiment) -> None:
    """Take over the transcripts of the same audio for the pairs that are duplicates."""
    for (name, dataset), (other, same) in experiment.duplicates.items():
        for head in experiment.recipe.recognizers:
            step = experiment.recognize(experiment.systems[name], dataset, head)
            source = experiment.recognize(experiment.systems[other], same, head).out / "text"
            if not step.is_done():
                step.run(partial(_copy, source, step.out / "text"))


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as tmp:
        shutil.copyfile(source, tmp)
