"""What the positional probe found: as JSON, as a table, in words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet_plugins.analysis.comparison.statistics import Interval
from espnet_plugins.analysis.comparison.tables import Table

FORMAT = "espnet_plugins.probe/1"


class ProbeError(ValueError):
    """Input that cannot be probed."""


@dataclasses.dataclass(frozen=True)
class Shares:
    """Shares of the variance between the frames of different utterances.

    Args:
        index: explained by the index alone.
        moved: what changes when the same content stands at another index; contains ``index``. None where it was
            not measured.
    """

    index: Interval
    moved: Interval | None = None


@dataclasses.dataclass(frozen=True)
class Layer:
    """What was found at one layer.

    Args:
        states: Shares of the frames.
        gradients: Objective -> share of its gradient that follows the index.
        alignment: Share of content in a soft alignment, 1 where it follows the content and 0 where it follows the
            index (:func:`~espnet_plugins.analysis.probe.alignment.alignment_shares`); None where it was not measured.
    """

    states: Shares
    gradients: Mapping[str, Interval] = dataclasses.field(default_factory=dict)
    alignment: Interval | None = None


@dataclasses.dataclass(frozen=True)
class ProbeResult:
    """What was found, and how.

    Args:
        upstream: What was probed.
        utterances: How many were long enough.
        frames: Length of the pieces.
        seconds: The same in seconds.
        turns: Versions of each piece.
        snr: Of the estimates behind the gradients, in dB.
        unit_length: Whether frames were L2-normalized.
        seed: Of all draws.
        layers: Hidden state -> shares; 0 is the input of the first block.
    """

    upstream: str
    utterances: int
    frames: int
    seconds: float
    turns: int
    snr: float
    unit_length: bool
    seed: int
    layers: Mapping[int, Layer]

    @property
    def objectives(self) -> list[str]:
        """The objectives whose gradients were probed."""
        return list(dict.fromkeys(name for layer in self.layers.values() for name in layer.gradients))

    def table(self) -> Table:
        """One row for each layer, shares in per cent with their intervals."""
        aligned = ["alignment"] if self.aligned else []
        rows = []
        for index, layer in self.layers.items():
            cells = [str(index), _cell(layer.states.index), _cell(layer.states.moved)]
            cells += [_cell(layer.alignment) for _ in aligned]
            rows.append(cells + [_cell(layer.gradients.get(name)) for name in self.objectives])
        heads = ["layer", "index", "moved", *aligned, *(f"gradient of {name}" for name in self.objectives)]
        return Table(heads, rows)

    @property
    def aligned(self) -> bool:
        """Whether alignments were looked at."""
        return any(layer.alignment for layer in self.layers.values())

    def caption(self) -> str:
        """How to read the table and the figure."""
        shape = ", L2-normalized" if self.unit_length else ""
        text = (
            "Share of the variance between frames of different utterances that the frame index explains (index), "
            "and that changes when the same content stands at another index (moved), in per cent with 95 % "
            f"intervals (bootstrap over {self.utterances} utterances of {self.seconds:.1f} s, each turned {self.turns} "
            f"times; frames{shape}). 0: no position; 100: nothing but position."
        )
        if self.aligned:
            text += (
                " Alignment: where a soft alignment of estimates with references at speeds 0.8 and 1.2 goes, 100 along "
                "the content, 0 along the index."
            )
        if self.objectives:
            text += (
                " Gradients: the share of an objective's gradient at the frames that is the same for every utterance "
                f"at an index, for estimates of {self.snr:g} dB SNR."
            )
        return text

    def as_json(self) -> dict[str, Any]:
        """It as a mapping for JSON."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        content = self.as_json()
        text = json.dumps(content, indent=1).replace("NaN", "null")
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> ProbeResult:
        """Read what write() wrote.

        Raises:
            ProbeError: For a file that is missing, broken, or of another kind.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProbeError(f"{path} cannot be read as the result of a probe: {error!r}; probe again") from error

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> ProbeResult:
        """Make it from what as_json() gave.

        Raises:
            ValueError: For another format.
        """
        if content.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        layers = {
            int(index): Layer(
                Shares(_interval(layer["states"]["index"]), _interval(layer["states"]["moved"])),
                {name: _interval(values) for name, values in layer["gradients"].items()},
                _interval(layer.get("alignment")),
            )
            for index, layer in content.pop("layers").items()
        }
        return cls(layers=layers, **content)


def _interval(values: Mapping[str, Any] | None) -> Any:
    if values is None:
        return None
    return Interval(**{name: math.nan if value is None else value for name, value in values.items()})


def _cell(interval: Interval | None) -> str:
    if interval is None or math.isnan(interval.value):
        return "-"
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
