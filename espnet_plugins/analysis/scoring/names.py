"""What tables and figures call the systems, and in which order they stand.

Which objectives there are is told by whoever knows: a recipe from its files, an archive from what it stored. A
configuration of which nothing was told is called by its own name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

# Systems without a seed, in the order in which tables show them.
REFERENCE_SYSTEMS = ("clean", "noisy", "se")
_REFERENCES = {
    "clean": "clean speech, no front-end",
    "noisy": "noisy, no front-end",
    "se": "SE front-end, not fine-tuned",
}
_MODES = {"joint": " + ASR loss", "se": ", front-end alone"}
_SEED = re.compile(r"^(?P<group>.+)_seed(?P<seed>\d+)$")


@dataclasses.dataclass(frozen=True)
class ObjectiveName:
    """How tables show the systems that were trained with an objective.

    Args:
        label: What tables and figures call it.
        order: Its place among the objectives, the least first.
        baseline: Whether it is one that others are compared with.
        subject: Whether comparisons are about it.
        alone: Whether it is the recognition loss and nothing else, so that no mode of training is named.
        front_end: Whether its systems have one.

    Example:
        >>> ObjectiveName.from_options("here", {"label": "SSL-MSE", "ordr": 50})
        Traceback (most recent call last):
        ValueError: here: unknown key ordr; accepted keys are alone, baseline, front_end, label, order, subject
    """

    label: str
    order: float
    baseline: bool = False
    subject: bool = False
    alone: bool = False
    front_end: bool = True

    @classmethod
    def from_options(cls, where: str, options: Any) -> ObjectiveName:
        """Make it from a mapping out of YAML or JSON.

        Raises:
            ValueError: For a key or value that is not accepted, naming both.
        """
        kinds: dict[str, type | tuple[type, ...]] = {"label": str, "order": (int, float)}
        fields = {field.name: kinds.get(field.name, bool) for field in dataclasses.fields(cls)}
        if not isinstance(options, Mapping):
            raise ValueError(f"{where}: {options!r} must be a mapping with the keys label and order")
        if unknown := sorted(map(str, options.keys() - fields.keys())):
            raise ValueError(
                f"{where}: unknown key {', '.join(unknown)}; accepted keys are {', '.join(sorted(fields))}"
            )
        for key in ("label", "order"):
            if key not in options:
                raise ValueError(f"{where}: the key {key} is missing")
        for key, value in options.items():
            if not isinstance(value, fields[key]) or (key == "order" and isinstance(value, bool)):
                raise ValueError(f"{where}: {key}: {value!r} is not accepted")
        return cls(**options)


_objectives: dict[str, ObjectiveName] = {}


def declare(objectives: Mapping[str, ObjectiveName]) -> None:
    """Tell how the systems of some objectives are called, from here on in this process.

    Args:
        objectives: Name of an objective -> how tables show it; replaces what was told of it before.
    """
    _objectives.update(objectives)


def declared(configurations: Iterable[str]) -> dict[str, ObjectiveName]:
    """What is known of the objectives of some configurations, to be stored with their scores.

    Example:
        >>> declare({"ssl_mse": ObjectiveName("SSL-MSE", 50)})
        >>> {name: objective.label for name, objective in declared(["noisy", "ssl_mse_joint_seed0"]).items()}
        {'ssl_mse': 'SSL-MSE'}
    """
    names = {_objective(split_seed(configuration)[0]) for configuration in configurations}
    return {name: _objectives[name] for name in sorted(names & _objectives.keys())}


def read_objectives(folder: Path) -> dict[str, ObjectiveName]:
    """What the files of a folder say of the objectives that they define.

    Args:
        folder: Holds OBJECTIVE.yaml: a training's options, and under `objective` the label, the order and the rest.

    Returns:
        Name -> how tables show it.

    Raises:
        ValueError: Naming the file and the key that is wrong.
    """
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        found[path.stem] = name_of(path.read_text(encoding="utf-8"), where=str(path))
    return found


def name_of(text: str, *, where: str) -> ObjectiveName:
    """What the YAML of an objective says of how tables show it.

    Args:
        text: The file; of a training's options it matters whether the enhancement loss has a weight and whether
            there is a front-end.
        where: The file's name, for messages.

    Raises:
        ValueError: Naming the file and the key that is wrong.

    Example:
        >>> name_of("{objective: {label: ASR loss, order: 1, needs: {}}, model_conf: {enh_weight: 0}}", where="a.yaml")
        ObjectiveName(label='ASR loss', order=1, baseline=False, subject=False, alone=True, front_end=True)
    """
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # a date that is none, say
        raise ValueError(f"{where} is not valid YAML: {error}") from error
    return name_in(content, where=where)


def name_in(content: Any, *, where: str) -> ObjectiveName:
    """As name_of(), of what was read already."""
    if not isinstance(content, Mapping) or not isinstance(content.get("objective"), Mapping):
        raise ValueError(f"{where}: say `objective: {{label: .., order: .., needs: {{..}}}}`")
    told = {key: value for key, value in content["objective"].items() if key != "needs"}
    own = ObjectiveName.from_options(f"{where}: objective", told)
    alone = (content.get("model_conf") or {}).get("enh_weight") == 0
    return dataclasses.replace(own, alone=alone, front_end=content.get("enh_separator") != "identity")


def split_seed(system: str) -> tuple[str, int | None]:
    """Split a system's name into its configuration and its seed.

    Example:
        >>> split_seed("ssl_mse_joint_seed3"), split_seed("noisy")
        (('ssl_mse_joint', 3), ('noisy', None))
    """
    match = _SEED.match(system)
    return (match["group"], int(match["seed"])) if match else (system, None)


def label(configuration: str, seeds: int = 1) -> str:
    """What tables call a configuration.

    Args:
        configuration: A system's name without its seed; one of several experiments may have its name before it.
        seeds: How many seeds a row stands for.

    Example:
        >>> declare({"ssl_mse": ObjectiveName("SSL-MSE", 50), "asr_only": ObjectiveName("ASR", 20, alone=True)})
        >>> label("noisy"), label("ssl_mse_joint", 3), label("ssl_mse_se"), label("mine")
        ('noisy, no front-end', 'SSL-MSE + ASR loss (3 seeds)', 'SSL-MSE, front-end alone', 'mine')
        >>> label("asr_only_joint"), label("other/ssl_mse_joint")
        ('ASR', 'other: SSL-MSE + ASR loss')
    """
    experiment, slash, own = configuration.rpartition("/")
    name = _REFERENCES.get(own, own)
    if objective := _objectives.get(_objective(own)):
        name = objective.label + ("" if objective.alone else _MODES.get(own.rpartition("_")[2], ""))
    return (f"{experiment}: " if slash else "") + name + (f" ({seeds} seeds)" if seeds > 1 else "")


def without_front_end(configuration: str) -> bool:
    """Whether a fine-tuned configuration has a recognizer alone.

    Example:
        >>> declare({"asr": ObjectiveName("ASR alone", 10, front_end=False)})
        >>> without_front_end("asr_joint"), without_front_end("mine_joint")
        (True, False)
    """
    objective = _objectives.get(_objective(configuration))
    return objective is not None and not objective.front_end


def is_baseline(configuration: str) -> bool:
    """Whether a fine-tuned configuration is one that others are compared with; so is one of which nothing was told.

    Example:
        >>> declare({"mimic": ObjectiveName("mimic", 40, baseline=True), "ssl_mse": ObjectiveName("SSL-MSE", 50)})
        >>> is_baseline("other/mimic_joint"), is_baseline("ssl_mse_joint"), is_baseline("mine_joint")
        (True, False, True)
    """
    objective = _objectives.get(_objective(configuration))
    return objective is None or objective.baseline


def is_subject(configuration: str) -> bool:
    """Whether a configuration is one that comparisons are about.

    Example:
        >>> declare({"ssl_soft_dtw": ObjectiveName("SSL-SoftDTW", 70, subject=True)})
        >>> is_subject("ssl_soft_dtw_joint"), is_subject("mine_joint")
        (True, False)
    """
    objective = _objectives.get(_objective(configuration))
    return objective is not None and objective.subject


def table_order(system: str) -> tuple[float, float, str, int]:
    """Sorts systems: references, the objectives in their order, then the others by name; each by seed.

    Example:
        >>> declare({"si_snr": ObjectiveName("SI-SNR", 30, baseline=True), "ssl_mse": ObjectiveName("SSL-MSE", 50)})
        >>> sorted(["mine", "ssl_mse_se_seed1", "ssl_mse_se_seed0", "si_snr_se_seed0", "noisy"], key=table_order)
        ['noisy', 'si_snr_se_seed0', 'ssl_mse_se_seed0', 'ssl_mse_se_seed1', 'mine']
    """
    group, seed = split_seed(system)
    own = _own_name(group)
    place = REFERENCE_SYSTEMS.index(own) if own in REFERENCE_SYSTEMS else len(REFERENCE_SYSTEMS)
    objective = _objectives.get(_objective(own))
    order = objective.order if objective else (float("inf") if place == len(REFERENCE_SYSTEMS) else 0.0)
    return place, order, group, -1 if seed is None else seed


def _own_name(configuration: str) -> str:
    """Without the experiment before it."""
    return configuration.rpartition("/")[2]


def _objective(configuration: str) -> str:
    """The objective of a configuration, which its mode follows; its own name where it has no mode."""
    own = _own_name(configuration)
    objective, _, mode = own.rpartition("_")
    return objective if mode in _MODES else own
