"""The objectives of stage 5: one YAML file each, of the recipe or of the user."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from espnet_plugins.analysis.scoring.names import ObjectiveName, declare, name_in
from local.common.errors import OptionError
from local.common.output import log

# What the recipe can hand to a criterion, as the option of this name.
GIVEN = ("upstream", "recognizer")


@dataclasses.dataclass(frozen=True)
class Objective:
    """What the recipe knows of an objective beside the options of its training.

    Args:
        name: Of its file, of its runs, on the command line.
        shown: How tables show it.
        needs: Criterion -> the option that the recipe gives it: "upstream", the SSL model of stage 2, or
            "recognizer", that of stage 4.
        file: Its configuration, objectives/FILE.yaml.
        layer: Of the SSL model, where its name says one.
    """

    name: str
    shown: ObjectiveName
    needs: Mapping[str, str]
    file: str = ""
    layer: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", self.file or self.name)

    @property
    def needs_upstream(self) -> bool:
        """Whether one of its criteria compares frames of the SSL model."""
        return "upstream" in self.needs.values()

    def at_layer(self, layer: int) -> Objective:
        """The same objective on another layer: NAME_layerN."""
        shown = dataclasses.replace(self.shown, label=f"{self.shown.label}, layer {layer}")
        return dataclasses.replace(self, name=f"{self.name}_layer{layer}", shown=shown, layer=layer)

    def applied(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration with this objective's layer in the options of its criteria that compare frames."""
        if self.layer is None:
            return dict(config)
        criteria = [
            {**entry, "conf": {**entry["conf"], "layer": self.layer}} if entry["name"] in self.needs else entry
            for entry in config["enh_criterions"]
        ]
        return {**config, "enh_criterions": criteria}

    @classmethod
    def from_config(cls, path: Path, config: Mapping[str, Any]) -> Objective:
        """Make it from what its file says.

        Raises:
            OptionError: For what is missing or not accepted, naming the file and the key.
        """
        try:
            shown = name_in(config, where=str(path))
        except ValueError as error:
            raise OptionError(str(error)) from error
        needs = config["objective"].get("needs")
        if isinstance(needs, Mapping):
            needs = {criterion: _name_of_now(path, need) for criterion, need in needs.items()}
        listed = config.get("enh_criterions") or []
        if not isinstance(listed, list):
            raise OptionError(f"{path}: enh_criterions: {listed!r} is not accepted; give a list of criteria")
        criteria = [str(entry.get("name")) for entry in listed if isinstance(entry, Mapping)]
        # Said in every file: a criterion of an SSL model that is given none takes a published one.
        if (
            not isinstance(needs, Mapping)
            or not all(need in GIVEN for need in needs.values())
            or not set(needs) <= set(criteria)
        ):
            raise OptionError(
                f"{path}: objective: needs: {needs!r} is not accepted; give criteria of this file with what each is "
                f"given of {', '.join(GIVEN)}, e.g. {{{criteria[0] if criteria else 'NAME'}: upstream}}, or {{}}"
            )
        return cls(path.stem, shown, dict(needs))


def _name_of_now(path: Path, need: Any) -> Any:
    if need != "recogniser":
        return need
    log(f"warning: {path}: needs: recogniser is now called recognizer; the older name goes with the next release")
    return "recognizer"


def in_order(objectives: Iterable[Objective]) -> dict[str, Objective]:
    """Objectives by name, in the order of tables, whose labels are told to the analysis."""
    ordered = sorted(objectives, key=lambda objective: (objective.shown.order, objective.name))
    declare({objective.name: objective.shown for objective in ordered})
    return {objective.name: objective for objective in ordered}
