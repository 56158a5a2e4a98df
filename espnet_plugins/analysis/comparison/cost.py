"""What a system costs: training, storage, running time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from espnet_plugins.analysis.comparison.tables import Table, mean_cell, number
from espnet_plugins.analysis.scoring.names import label
from espnet_plugins.analysis.scoring.scores import group_seeds

# What has to be said beside the table.
COST_NOTE = (
    "Wall times as they were, with whatever else ran at the time; real-time factors (RTF) include the start of the "
    "program. The algorithmic latency is what has to be heard behind a sample before it is enhanced, however fast the "
    "computer."
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of one system; nan where it is unknown or has no meaning.

    Args:
        updates: Updates of fine-tuning.
        training_seconds: Wall time of these updates.
        host_bytes: Peak memory of the training, on the host.
        gpu_bytes: The same on the GPU.
        model_bytes: Size of the model that is saved.
        enhancement_factor: Seconds of enhancement per second of audio.
        delay_seconds: What has to be heard behind a sample before it is enhanced, however fast the computer; inf where
            that is the whole utterance.
        decoding_factor: Seconds of recognition per second of audio, a joint model's enhancement included.
    """

    updates: float = math.nan
    training_seconds: float = math.nan
    host_bytes: float = math.nan
    gpu_bytes: float = math.nan
    model_bytes: float = math.nan
    enhancement_factor: float = math.nan
    delay_seconds: float = math.nan
    decoding_factor: float = math.nan


def cost_table(costs: Mapping[str, Cost]) -> Table:
    """The costs, one row for each configuration; mean over seeds.

    Args:
        costs: System -> cost.

    Example:
        >>> cost = Cost(updates=100, training_seconds=20, model_bytes=4e6, delay_seconds=0.002)
        >>> cost_table({"a_seed0": cost}).rows[0]
        ['a', '100', '200', '20', '-', '-', '4.0', '-', '2.0', '-']
    """
    header = ["system", "updates", "ms per update", "training (s)"]
    header += ["memory (GB)", "GPU memory (GB)", "model (MB)"]
    header += ["enhancement (RTF)", "latency (ms)", "decoding (RTF)"]
    rows = []
    for configuration, seeds in group_seeds(costs).items():
        runs = [costs[seed] for seed in seeds]
        rows.append(
            [
                label(configuration, len(runs)),
                mean_cell([run.updates for run in runs], 0),
                mean_cell([1e3 * run.training_seconds / run.updates for run in runs], 0),
                mean_cell([run.training_seconds for run in runs], 0),
                mean_cell([run.host_bytes / 1e9 for run in runs]),
                mean_cell([run.gpu_bytes / 1e9 for run in runs]),
                mean_cell([run.model_bytes / 1e6 for run in runs]),
                mean_cell([run.enhancement_factor for run in runs], 3),
                _latency_cell([run.delay_seconds for run in runs]),
                mean_cell([run.decoding_factor for run in runs], 3),
            ]
        )
    return Table(header, rows)


def _latency_cell(seconds: Sequence[float]) -> str:
    """Milliseconds at worst: seeds differ in weights, which a latency does not depend on."""
    worst = math.nan if any(map(math.isnan, seconds)) else max(seconds)
    return "whole utterance" if worst == math.inf else number(1e3 * worst)
