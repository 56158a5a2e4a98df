"""What is compared: the references, the front-end alone, and a system per run of stage 5."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from local.common.recipe import Run
from local.common.stages import Stage
from local.common.steps import Step
from local.stages.train_config import has_front_end

CLEAN, NOISY = "spk1.scp", "wav.scp"


@dataclasses.dataclass(frozen=True, eq=False)
class System:
    """Something whose output is scored.

    Args:
        name: Its name in directories and tables.
        trained: The steps that made its models; the last holds the recognizer where one is trained.
        input: Its input, a file of a test set: CLEAN or NOISY.
        front_end: "none", "separate" (enhanced audio, then the recognizer) or "joint" (one model).
    """

    name: str
    trained: tuple[Step, ...]
    input: str
    front_end: str

    @property
    def is_joint(self) -> bool:
        """Whether its recognizer comes from a joint training."""
        return bool(self.trained) and self.trained[-1].stage == Stage.FINETUNING


def systems_of(se: Step, asr: Step | None, fine_tunings: Iterable[tuple[Run, Step]]) -> list[System]:
    """The systems of a comparison: the references first, then one per run.

    Args:
        se: Leaves the front-end.
        asr: Leaves the recognizer; None where none is trained.
        fine_tunings: The runs of stage 5, each with its step.
    """
    recognizer = (asr,) if asr else ()

    def tuned(step: Step) -> str:
        if asr is None:
            return "separate"
        return "joint" if has_front_end(step.settings["config"]) else "none"

    return [
        System("clean", recognizer, CLEAN, "none"),
        System("noisy", recognizer, NOISY, "none"),
        System("se", (se, *recognizer), NOISY, "separate"),
        *(System(run.name, (step,), NOISY, tuned(step)) for run, step in fine_tunings),
    ]
