"""Stage 6 as steps: the enhanced audio and the transcripts of a system on a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.common.recipe import Recipe
from local.common.stages import Stage
from local.common.steps import Step
from local.stages.systems import System

# In the folder of the estimates: those above full scale, where the file cuts them, with their greatest value.
CUT = "over_full_scale"


def head_folder(kind: str, head: str) -> str:
    """Where results of a head go: `decode`, `score`; those of phones beside them.

    Example:
        >>> head_folder("decode", "asr"), head_folder("decode", "pr")
        ('decode', 'decode_pr')
    """
    return kind if head == "asr" else f"{kind}_{head}"


def is_one_model(system: System, head: str) -> bool:
    """Whether the recognizer is the one that was fine-tuned with the front-end."""
    return system.is_joint and head == "asr"


def enhance_step(recipe: Recipe, system: System, name: str, *, onednn: bool) -> Step:
    """The enhanced audio of a system on a test set.

    The whole set where it is the input of a recognizer, else the utterances that stage 7 measures.

    Args:
        recipe: The invocation.
        system: With a front-end.
        name: The test set.
        onednn: Whether oneDNN computes.
    """
    everything = system.front_end == "separate" or len(recipe.recognizers) > 1
    settings = {"utterances": 0 if everything else recipe.quality_utterances or 0, "onednn": onednn}
    folder = recipe.expdir / "enhanced" / system.name / name
    return _step(recipe, system.trained[:1], "enhance", folder, name, settings=settings, outputs=("spk1.scp", "wavs"))


def recognize_step(
    recipe: Recipe,
    system: System,
    name: str,
    head: str,
    *,
    decoding: Mapping[str, Any],
    trained: Sequence[Step],
    others: Mapping[str, Step],
) -> Step:
    """The transcripts of a system on a test set, of words or of phones.

    Args:
        recipe: The invocation.
        system: What recognizes.
        name: The test set.
        head: "asr", "pr" or the name of a judge.
        decoding: The options of the beam search.
        trained: The steps that made its models.
        others: Further inputs: the data of phones, enhanced audio, the same audio in another set.
    """
    settings = {"input": system.input, "decoding": decoding}
    folder = recipe.expdir / head_folder("decode", head) / system.name / name
    step = _step(recipe, trained, "recognise", folder, name, settings=settings, outputs=("text",))
    step.inputs |= {role: (other.done, other.stage) for role, other in others.items()}
    return step


def development_step(recipe: Recipe, training: Step, *, judge: str, decoding: Mapping[str, Any], onednn: bool) -> Step:
    """What a judge makes of the development set with each model that a fine-tuning of the front-end kept.

    Args:
        recipe: The invocation.
        training: The fine-tuning.
        judge: Who decodes.
        decoding: Its options.
        onednn: Whether oneDNN computes.
    """
    return Step(
        "development",
        stage=Stage.DECODING,
        out=recipe.expdir / "development" / training.out.name,
        inputs={"model": training, "data": (recipe.dump_done("dev"), Stage.DATA)},
        settings={"judge": judge, "decoding": decoding, "onednn": onednn, "loops": "all words wrong"},
        outputs=("curve.csv", "transcripts"),
    )


def _step(recipe: Recipe, trained: Sequence[Step], kind: str, out: Path, name: str, *, settings, outputs) -> Step:
    inputs: dict[str, Step | tuple[Path, int]] = {f"model{k}": step for k, step in enumerate(trained)}
    inputs["data"] = (recipe.dump_done(name), Stage.DATA)
    return Step(kind, stage=Stage.DECODING, out=out, inputs=inputs, settings=settings, outputs=outputs)
