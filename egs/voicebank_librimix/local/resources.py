"""What a job asks for: read from conf/slurm.yaml, changed by the options of the command line."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from local.config import RECIPE_DIR, read_yaml
from local.steps import OptionError

KINDS = ("train", "decode", "cpu")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Resources:
    """What one task of an array gets.

    Args:
        partition: Of the cluster; None leaves it to the site, as for all that may be None.
        account: Whom the time is charged to.
        qos: Quality of service.
        constraint: Features a node must have.
        time: Limit, as Slurm writes it: minutes, HH:MM:SS, D-HH.
        memory: Per node, with a unit: 8G.
        cpus: Per process.
        gpus: Per node.
        nodes: How many nodes a task spans.
        processes: Processes per node; more than one only without GPUs.
        max_running: Tasks of the array that may run at once.
        sbatch: More options of sbatch.
        setup: Shell lines before the command.
        signal_seconds: How long before the limit a training is told to save.
        checkpoint_minutes: Minutes between saves inside an epoch; 0 for none.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: str | None = None
    memory: str | None = None
    cpus: int = 1
    gpus: int = 0
    nodes: int = 1
    processes: int = 1
    max_running: int | None = None
    sbatch: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    signal_seconds: int = 120
    checkpoint_minutes: float = 0

    def __post_init__(self) -> None:
        for name in ("cpus", "nodes", "processes"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise OptionError(f"{name} must be a whole number from 1 on, not {getattr(self, name)!r}")
        if not isinstance(self.gpus, int) or self.gpus < 0:
            raise OptionError(f"gpus must be a whole number, not {self.gpus!r}")
        if self.processes > 1 and self.gpus > 0:
            raise OptionError("processes above 1 are for trainings without GPUs: ESPnet starts one process per GPU")
        if self.memory is not None:
            memory_bytes(self.memory)

    @property
    def ranks(self) -> int:
        """Processes of a distributed training."""
        return self.nodes * max(self.gpus, self.processes)


@dataclasses.dataclass(frozen=True)
class ClusterConfig:
    """conf/slurm.yaml.

    Args:
        kinds: Resources of each kind of job.
        environment: Names of variables that jobs get.
        poll_seconds: Between two looks at the queue.
        patience_minutes: How long to wait for a place in a full queue.
    """

    kinds: dict[str, Resources]
    environment: tuple[str, ...]
    poll_seconds: float
    patience_minutes: float


def memory_bytes(text: str) -> int:
    """Turn 500M or 8G into bytes.

    Raises:
        OptionError: When it is no size.

    Example:
        >>> memory_bytes("2K")
        2048
    """
    match = re.fullmatch(r"(\d+)([KMGT])B?", str(text).strip().upper())
    if not match:
        raise OptionError(f"memory is a number with K, M, G or T behind it, such as 8G, not '{text}'")
    return int(match[1]) * _UNITS[match[2]]


def config_path() -> Path:
    """The configuration in use: the variable CLUSTER_CONFIG, else conf/slurm.yaml."""
    return RECIPE_DIR / os.environ.get("CLUSTER_CONFIG", "conf/slurm.yaml")


def load_cluster_config(path: Path | None = None) -> ClusterConfig:
    """Read a configuration.

    Args:
        path: Default: config_path().

    Returns:
        The settings, with `defaults` under each kind.

    Raises:
        OptionError: For what the file must not say, naming the place.
    """
    path = path or config_path()
    content = read_yaml(path)
    known = {"defaults", "kinds", "environment", "poll_seconds", "patience_minutes"}
    _reject(content, known, str(path))
    kinds = content.get("kinds") or {}
    _reject(kinds, set(KINDS), f"{path}: kinds")
    fields = {field.name for field in dataclasses.fields(Resources)}
    resources = {}
    for kind in KINDS:
        settings = {**(content.get("defaults") or {}), **(kinds.get(kind) or {})}
        _reject(settings, fields, f"{path}: {kind}")
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
        try:
            resources[kind] = Resources(**settings)
        except OptionError as error:
            raise OptionError(f"{path}: {kind}: {error}") from None
    return ClusterConfig(
        kinds=resources,
        environment=tuple(content.get("environment") or ()),
        poll_seconds=float(content.get("poll_seconds", 10)),
        patience_minutes=float(content.get("patience_minutes", 60)),
    )


def _reject(settings: dict[str, Any], known: set[str], where: str) -> None:
    for key in settings:
        if key not in known:
            raise OptionError(f"{where}: unknown setting '{key}': choose from {', '.join(sorted(known))}")
