"""Stage 6: every system enhances and recognises every test set, through ESPnet's decoders."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.common.kaldi_dir import read_table, write_table
from local.common.recipe import Recipe, Run, add_common_arguments, add_run_arguments, runs_from_args
from local.common.steps import MissingInput, Step, atomic_path, log, run_main
from local.jobs.processes import Job, run_jobs
from local.stages.espnet_commands import merged_config
from local.stages.phones import phones_step
from local.stages.train import MODEL, asr_step, data_of, has_front_end, head_steps, joint_step, se_step

STAGE = 6


@dataclasses.dataclass(frozen=True)
class System:
    """Something whose output is scored.

    Args:
        name: Its name in directories and tables.
        trained: The steps that made its models; the last holds the recogniser.
        input: The file of a test set that it hears.
        front_end: "none", "separate" (enhanced audio, then the recogniser) or "joint" (one model).
    """

    name: str
    trained: tuple[Step, ...]
    input: str
    front_end: str

    @property
    def is_joint(self) -> bool:
        """Whether its recogniser comes from a joint training."""
        return self.trained[-1].stage == 5


def _unprocessed(recipe: Recipe) -> list[System]:
    asr = asr_step(recipe)
    return [System("clean", (asr,), "spk1.scp", "none"), System("noisy", (asr,), "wav.scp", "none")]


def systems(recipe: Recipe, runs: Sequence[Run]) -> list[System]:
    """The systems of a comparison: the references first, then one per run."""
    front_end = System("se", (se_step(recipe), asr_step(recipe)), "wav.scp", "separate")
    return [*_unprocessed(recipe), front_end, *(_tuned(recipe, run) for run in runs)]


def _tuned(recipe: Recipe, run: Run) -> System:
    step = joint_step(recipe, run)
    return System(run.name, (step,), "wav.scp", "joint" if has_front_end(step.settings["config"]) else "none")


def same_audio(recipe: Recipe, system: System, name: str) -> tuple[System, str] | None:
    """The first pair of an unprocessed system and a test set that hears the same files as this pair.

    Test sets that differ in their noise share their clean speech: it is recognised once.

    Args:
        recipe: The invocation.
        system: What recognises; with a front-end or a recogniser of its own it has no such pair.
        name: The test set.

    Returns:
        The pair, or None when this one is the first, or its data directory is gone.
    """
    heard = recipe.datadir / name / system.input
    if system.is_joint or system.front_end != "none" or not heard.exists():
        return None
    for other in _unprocessed(recipe):
        for earlier in recipe.preset["test"]:
            if (other.name, earlier) == (system.name, name):
                return None
            table = recipe.datadir / earlier / other.input
            if table.exists() and table.read_bytes() == heard.read_bytes():
                return other, earlier
    return None


def enhance_step(recipe: Recipe, system: System, name: str) -> Step:
    """The enhanced audio of a system on a test set.

    The whole set where the recogniser hears the audio, else the utterances that stage 7 measures.
    """
    everything = system.front_end == "separate" or len(recipe.preset["heads"]) > 1
    return _step(
        recipe,
        system.trained[:1],
        "enhance",
        recipe.expdir / "enhanced" / system.name / name,
        name,
        settings={
            "utterances": 0 if everything else recipe.preset["quality_utterances"],
            "onednn": _decoding(recipe)["onednn"],
        },
        outputs=("spk1.scp", "wavs"),
    )


def head_folder(kind: str, head: str) -> str:
    """Where results of a head go: `decode`, `score`; those of phones beside them.

    Example:
        >>> head_folder("decode", "asr"), head_folder("decode", "pr")
        ('decode', 'decode_pr')
    """
    return kind if head == "asr" else f"{kind}_{head}"


def _joint(system: System, head: str) -> bool:
    """Whether the recogniser is the one that was fine-tuned with the front-end."""
    return system.is_joint and head == "asr"


def recognise_step(recipe: Recipe, system: System, name: str, head: str = "asr") -> Step:
    """The transcripts of a system on a test set, of words or of phones."""
    settings = {"input": system.input, "decoding": _decoding(recipe, head)}
    folder = recipe.expdir / head_folder("decode", head) / system.name / name
    trained = system.trained if head == "asr" else (head_steps(recipe)[head],)
    step = _step(recipe, trained, "recognise", folder, name, settings=settings, outputs=("text",))
    if head != "asr":
        step.inputs["data"] = (phones_step(recipe).done, 2)
    if system.front_end != "none" and not _joint(system, head):
        step.inputs["enhanced"] = (enhance_step(recipe, system, name).done, STAGE)
    if twin := same_audio(recipe, system, name):
        step.inputs["same_audio"] = (recognise_step(recipe, *twin, head).done, STAGE)
    return step


def _decoding(recipe: Recipe, head: str = "asr") -> dict[str, Any]:
    return merged_config(recipe, [f"decode_{head}.yaml"])


def _step(recipe: Recipe, trained: Sequence[Step], kind: str, out: Path, name: str, *, settings, outputs) -> Step:
    inputs = {f"model{k}": (step.done, step.stage) for k, step in enumerate(trained)}
    inputs["data"] = (recipe.dump_done(name), 2)
    return Step(kind, stage=STAGE, out=out, inputs=inputs, settings=settings, outputs=outputs)


def enhance(recipe: Recipe, system: System, name: str, step: Step) -> None:
    """Run ESPnet's enhancement; move its result into place."""
    from espnet_plugins.analysis.scoring.quality import spread
    from espnet_plugins.bin import enh_inference

    scp = recipe.dumpdir / name / "wav.scp"
    trained = system.trained[0].out
    with atomic_path(step.out / "wavs") as tmp:
        tmp.mkdir(parents=True)
        chosen = read_table(scp)
        if wanted := step.settings["utterances"]:
            chosen = {utt: chosen[utt] for utt in spread(sorted(chosen), wanted)}
        write_table(tmp / "keys", chosen)
        command = ["--output_dir", str(tmp / "out"), "--fs", "16000", "--num_workers", "0", "--output_format", "flac"]
        command += ["--data_path_and_name_and_type", f"{scp},speech_mix,kaldi_ark", "--key_file", str(tmp / "keys")]
        command += ["--train_config", str(trained / "espnet" / "config.yaml"), "--model_file", str(trained / MODEL)]
        command += ["--enh_s2t_task", str(system.front_end == "joint").lower(), "--log_level", "WARNING"]
        command += _device(recipe)
        enh_inference.main(command, use_onednn=step.settings["onednn"])
        written = read_table(tmp / "out" / "spk1.scp")
        for path in written.values():
            os.replace(path, tmp / Path(path).name)
        audio = {utt: str(step.out / "wavs" / Path(path).name) for utt, path in written.items()}
    write_table(step.out / "spk1.scp", audio)


def _device(recipe: Recipe) -> list[str]:
    """One GPU or none, for ESPnet."""
    return ["--ngpu", str(min(recipe.ngpu, 1))]


def recognise(recipe: Recipe, system: System, name: str, step: Step, head: str = "asr") -> None:
    """Run ESPnet's beam search; keep the transcripts."""
    from espnet_plugins.bin import asr_inference

    trained = (system.trained[-1] if head == "asr" else head_steps(recipe)[head]).out
    joint = _joint(system, head)
    audio = recipe.dumpdir / name / system.input
    if system.front_end != "none" and not joint:
        audio = enhance_step(recipe, system, name).out / "spk1.scp"
    with atomic_path(step.out / "espnet") as tmp:
        command = ["--output_dir", str(tmp), "--num_workers", "0", "--log_level", "WARNING"]
        command += ["--data_path_and_name_and_type", f"{audio},speech,kaldi_ark"]
        # Of phones, some utterances may have no reference.
        command += ["--key_file", str(data_of(recipe, head) / name / "wav.scp")]
        command += ["--asr_train_config", str(trained / "espnet" / "config.yaml")]
        command += ["--asr_model_file", str(trained / MODEL), "--enh_s2t_task", str(joint).lower()]
        command += _device(recipe)
        decoding = dict(step.settings["decoding"])
        use_onednn = decoding.pop("onednn")
        for option, value in decoding.items():
            command += [f"--{option}", str(value)]
        asr_inference.main(command, use_onednn=use_onednn)
    results = step.out / "espnet" / "1best_recog" / ("text_spk1" if joint else "text")
    with atomic_path(step.out / "text") as tmp:
        # An utterance in which nothing was recognised keeps its line, with the id alone.
        tmp.write_text("".join(f"{line.strip()}\n" for line in results.read_text(encoding="utf-8").splitlines()))


def tasks(recipe: Recipe, runs: Sequence[Run]) -> list[tuple[System, str]]:
    """Every pair of a system and a test set, the slow ones first."""
    pairs = [(system, name) for system in systems(recipe, runs) for name in recipe.preset["test"]]
    return sorted(pairs, key=lambda pair: pair[0].front_end != "separate")


def shares(recipe: Recipe, runs: Sequence[Run], count: int) -> list[list[tuple[System, str]]]:
    """Divide the pairs of a system and a test set among at most `count` processes."""
    pairs = tasks(recipe, runs)
    return [pairs[k::count] for k in range(min(count, len(pairs)))]


def is_done(recipe: Recipe, system: System, name: str) -> bool:
    """Whether nothing is left to do for a pair.

    Raises:
        MissingInput: When a model or the data is not there.
    """
    for path, stage in [(recipe.dump_done(name), 2), *((step.done, step.stage) for step in system.trained)]:
        if not path.exists():
            raise MissingInput(path, stage)
    enhanced = system.front_end == "none" or enhance_step(recipe, system, name).is_done()
    return enhanced and all(recognise_step(recipe, system, name, head).is_done() for head in recipe.preset["heads"])


def work(recipe: Recipe, pairs: Sequence[tuple[System, str]]) -> None:
    """Do the given pairs, with progress for the process that started this one."""
    start = time.monotonic()
    for count, (system, name) in enumerate(pairs):
        if system.front_end != "none":
            step = enhance_step(recipe, system, name)
            step.run(lambda system=system, name=name, step=step: enhance(recipe, system, name, step))
        for head in recipe.preset["heads"]:
            step = recognise_step(recipe, system, name, head)
            step.run(lambda system=system, name=name, step=step, head=head: recognise(recipe, system, name, step, head))
        left = (time.monotonic() - start) / (count + 1) * (len(pairs) - count - 1)
        print(f"PROGRESS {count + 1} of {len(pairs)} decodings, {left:.0f} seconds left", flush=True)


def copy_transcripts(recipe: Recipe, system: System, name: str, twin: tuple[System, str]) -> None:
    """Take over the transcripts of the same audio."""
    for head in recipe.preset["heads"]:
        step = recognise_step(recipe, system, name, head)
        source = recognise_step(recipe, *twin, head).out / "text"

        def copy(step: Step = step, source: Path = source) -> None:
            with atomic_path(step.out / "text") as tmp:
                shutil.copyfile(source, tmp)

        step.run(copy)


def main() -> None:
    """Start one process per share of the work, or do a share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", help=argparse.SUPPRESS)
    args = add_run_arguments(add_common_arguments(parser)).parse_args()
    recipe = Recipe.from_args(args)
    pairs = tasks(recipe, runs_from_args(recipe, args))
    twins = {(system.name, name): same_audio(recipe, system, name) for system, name in pairs}
    own = [pair for pair in pairs if twins[pair[0].name, pair[1]] is None]
    waiting = [pair for pair in own if not is_done(recipe, *pair)]
    if args.share:
        wanted = set(args.share.split())
        work(recipe, [pair for pair in waiting if f"{pair[0].name}/{pair[1]}" in wanted])
        return
    if waiting:
        log(f"[stage {STAGE}] decoding: {len(waiting)} pairs of a system and a test set")
        jobs = []
        for k in range(min(recipe.nj, len(waiting))):
            share = " ".join(f"{system.name}/{name}" for system, name in waiting[k :: recipe.nj])
            command = [sys.executable, "-m", "local.stages.decode", *sys.argv[1:], "--share", share]
            jobs.append(Job(f"decoding {k + 1}", command, recipe.expdir / "decode" / f"decode.{k + 1}.log"))
        run_jobs(jobs, nj=recipe.nj)
    else:
        log(f"[stage {STAGE}] decoding: nothing to do")
    for system, name in pairs:
        if (twin := twins[system.name, name]) and not is_done(recipe, system, name):
            copy_transcripts(recipe, system, name, twin)


if __name__ == "__main__":
    run_main(main)
