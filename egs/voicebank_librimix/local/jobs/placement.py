"""How trainings are started in this place: what the batch script of a job says, and nothing on the user's machine."""

from __future__ import annotations

import dataclasses
import os


@dataclasses.dataclass(frozen=True)
class Placement:
    """The settings that go from a batch script to the training inside, as variables of the environment.

    Args:
        launcher: What stands in front of the program's command, as the shell reads it; empty: it is started directly.
        nodes: How many nodes the training spans.
        processes: Processes per node, where there are no GPUs.
        checkpoint_minutes: Minutes between saves inside an epoch; 0 for none.
        scratch: What --local_scratch says; empty: audio is read where it is.

    Example:
        >>> Placement(nodes=2).variables()["TRAINING_NODES"]
        '2'
    """

    launcher: str = ""
    nodes: int = 1
    processes: int = 1
    checkpoint_minutes: float = 0
    scratch: str = ""

    @classmethod
    def here(cls) -> Placement:
        """Of this process."""
        return cls(
            launcher=os.environ.get("TRAINING_LAUNCHER", ""),
            nodes=int(os.environ.get("TRAINING_NODES", "1")),
            processes=int(os.environ.get("TRAINING_PROCESSES", "1")),
            checkpoint_minutes=float(os.environ.get("CHECKPOINT_MINUTES", "0")),
            scratch=os.environ.get("LOCAL_SCRATCH", ""),
        )

    def variables(self) -> dict[str, str]:
        """The variables that here() reads; without `scratch` where that is empty, as jobs have it from elsewhere."""
        settings = {
            "TRAINING_LAUNCHER": self.launcher,
            "TRAINING_NODES": str(self.nodes),
            "TRAINING_PROCESSES": str(self.processes),
            "CHECKPOINT_MINUTES": str(self.checkpoint_minutes),
        }
        return {**settings, "LOCAL_SCRATCH": self.scratch} if self.scratch else settings

    def ranks(self, ngpu: int) -> int:
        """Processes that share each batch of a training with `ngpu` GPUs per node."""
        return self.nodes * max(ngpu, self.processes)
