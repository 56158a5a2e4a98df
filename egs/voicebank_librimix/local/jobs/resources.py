"""What a job asks for: read from conf/slurm.yaml, changed by the options of the command line."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from local.common.errors import OptionError
from local.common.recipe import RECIPE_DIR, read_yaml

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
        for name, least in (("cpus", 1), ("nodes", 1), ("processes", 1), ("gpus", 0), ("signal_seconds", 0)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise OptionError(f"{name} must be a whole number from {least} on, not {getattr(self, name)!r}")
        if self.max_running is not None and (not isinstance(self.max_running, int) or self.max_running < 1):
            raise OptionError(f"max_running must be a whole number from 1 on, not {self.max_running!r}")
        if not isinstance(self.checkpoint_minutes, (int, float)) or self.checkpoint_minutes < 0:
            raise OptionError(f"checkpoint_minutes must be a number from 0 on, not {self.checkpoint_minutes!r}")
        for name in ("partition", "account", "qos", "constraint", "time"):
            # YAML reads 24:00:00 as a number, of seconds, which Slurm would take for minutes.
            if not isinstance(getattr(self, name), (str, type(None))):
                raise OptionError(f"{name} must be text, not {getattr(self, name)!r}: put quotes around it")
        for name in ("sbatch", "setup"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(word, str) for word in value):
                raise OptionError(f"{name} must be a list of texts, not {value!r}")
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
    kinds = _mapping(content, "kinds", str(path))
    _reject(kinds, set(KINDS), f"{path}: kinds")
    environment = content.get("environment") or []
    if not isinstance(environment, list) or not all(re.fullmatch(r"[A-Za-z_]\w*", str(name)) for name in environment):
        raise OptionError(f"{path}: environment must be a list of names of variables, not {environment!r}")
    waits = {}
    for name, default in (("poll_seconds", 10), ("patience_minutes", 60)):
        waits[name] = content.get(name, default)
        if not isinstance(waits[name], (int, float)) or waits[name] < 0:
            raise OptionError(f"{path}: {name} must be a number from 0 on, not {waits[name]!r}")
    fields = {field.name for field in dataclasses.fields(Resources)}
    resources = {}
    for kind in KINDS:
        settings = {**_mapping(content, "defaults", str(path)), **_mapping(kinds, kind, f"{path}: kinds")}
        _reject(settings, fields, f"{path}: {kind}")
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
        try:
            resources[kind] = Resources(**settings)
        except OptionError as error:
            raise OptionError(f"{path}: {kind}: {error}") from None
    return ClusterConfig(
        kinds=resources,
        environment=tuple(environment),
        **waits,
    )


def _mapping(settings: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    value = settings.get(key)
    if value is not None and not isinstance(value, dict):
        raise OptionError(f"{where}: {key} must hold settings, not {value!r}")
    return value or {}


def _reject(settings: dict[str, Any], known: set[str], where: str) -> None:
    for key in settings:
        if key not in known:
            raise OptionError(f"{where}: unknown setting '{key}': choose from {', '.join(sorted(known))}")
