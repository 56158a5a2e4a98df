"""Tables of scores, in ESPnet's format and as summaries."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from espnet_plugins.analysis.comparison.statistics import mean_and_deviation
from espnet_plugins.analysis.scoring.listeners import DISTILLMOS, DNSMOS
from espnet_plugins.analysis.scoring.names import label
from espnet_plugins.analysis.scoring.quality import METRICS
from espnet_plugins.analysis.scoring.scores import Scores, SetScore, group_seeds

METRIC_LABELS = {"stoi": "STOI", "estoi": "ESTOI", "sdr": "SDR", "si_sdr": "SI_SDR", "pesq": "PESQ_WB"}
METRIC_LABELS |= {
    "dnsmos_sig": "DNSMOS_SIG",
    "dnsmos_bak": "DNSMOS_BAK",
    "dnsmos_ovrl": "DNSMOS_OVRL",
    "distillmos": "DistillMOS",
}
# Unit -> the error rate over it.
RATES = {"words": "WER", "characters": "CER"}
_METRIC_DIGITS = {"pesq": 2, **dict.fromkeys((*DNSMOS, *DISTILLMOS), 2)}


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of formatted cells.

    Args:
        header: What the columns hold.
        rows: Cells, one list for each row, as long as the header; `**text**` is emphasized.

    Example:
        >>> table = Table(["system", "test"], [["noisy", "40.1"]])
        >>> print(table.markdown())
        |system|test|
        |---|---|
        |noisy|40.1|
        >>> print(table.plain())
        system  test
        ------  ----
        noisy   40.1
        >>> print(Table(["a"], [["**1**"]]).plain().splitlines()[-1])
        *1
    """

    header: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """Format in the dense Markdown of ESPnet's RESULTS files."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join("|" + "|".join(line) + "|" for line in lines)

    def plain(self) -> str:
        """Format for the terminal: first column left, the others right, emphasis by a star."""
        rows = [[re.sub(r"\*\*(.+?)\*\*", r"*\1", cell) for cell in row] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(self.header, *rows, strict=True)]
        lines = [self.header, ["-" * width for width in widths], *rows]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )


def number(value: float, digits: int = 1) -> str:
    """Format a number for a table; `inf` and `-` where there is none."""
    if math.isnan(value):
        return "-"
    return "inf" if value == math.inf else f"{value:.{digits}f}"


def mean_cell(values: Sequence[float], digits: int = 1) -> str:
    """Mean over seeds, with the standard deviation when there is one.

    Example:
        >>> mean_cell([9.0, 11.0]), mean_cell([9.0])
        ('10.0 ± 1.4', '9.0')
    """
    mean, deviation = mean_and_deviation(values)
    spread = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return number(mean, digits) + spread


def datasets(scores: Scores) -> list[str]:
    """The test sets of the scores, in the order of the first system."""
    return list(next(iter(scores.values())))


def word_error_summary(scores: Scores) -> Table:
    """Word error rates in per cent: configurations by test sets, the lowest but for clean speech emphasized."""
    sets, groups = datasets(scores), group_seeds(scores)
    rates = {
        name: [[scores[seed][dataset].total("words").rate for seed in seeds] for dataset in sets]
        for name, seeds in groups.items()
    }
    cells = {name: [mean_cell(values) for values in columns] for name, columns in rates.items()}
    rivals = [name for name in groups if name != "clean"]
    for i in range(len(sets)):
        means = {name: mean_and_deviation(rates[name][i])[0] for name in rivals}
        for name in rivals:
            if len(rivals) > 1 and means[name] == min(means.values()):
                cells[name][i] = f"**{cells[name][i]}**"
    return Table(["system", *sets], [[label(name, len(groups[name])), *row] for name, row in cells.items()])


def error_table(sets: Mapping[str, SetScore], unit: str) -> Table:
    """ESPnet's table of one system: counts of sentences and units, rates in per cent.

    Args:
        sets: Test set -> score.
        unit: `words` or `characters`.

    Returns:
        The table. A set in which hypotheses are missing says so beside its name.
    """
    header = ["dataset", "Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err", "S.Err"]
    rows = []
    for name, score in sets.items():
        total, sentences = score.total(unit), len(score.utterances)
        parts = (total.correct, total.substitutions, total.deletions, total.insertions, total.errors)
        note = f" ({len(score.missing)} without hypothesis)" if score.missing else ""
        rows.append(
            [
                name + note,
                str(sentences),
                str(total.reference),
                *(number(100.0 * part / total.reference) for part in parts),
                number(100.0 * score.sentence_errors / sentences),
            ]
        )
    return Table(header, rows)


def quality_table(scores: Scores, dataset: str) -> Table:
    """Signal quality of every configuration on one test set.

    Args:
        scores: System -> test set -> score.
        dataset: The test set.

    Returns:
        The table; mean over utterances, then mean and deviation over the seeds that were measured. `Utt` counts the
        utterances of the first of them on which every metric could be measured, out of those that were tried.
    """
    rows = []
    listened = [m for m in (*DNSMOS, *DISTILLMOS) if any(by_set[dataset].quality(m) for by_set in scores.values())]
    metrics = (*METRICS, *listened)
    for name, seeds in group_seeds(scores).items():
        runs = [scores[s][dataset] for s in seeds]
        runs = [run for run in runs if run.unscorable or any(run.quality(metric) for metric in metrics)]
        # Of clean speech nothing is measured; where nothing could be, that is a row.
        if not runs:
            continue
        cells = [
            mean_cell([_mean(run.quality(metric)) for run in runs], _METRIC_DIGITS.get(metric, 1)) for metric in metrics
        ]
        measured = [utt for utt, score in runs[0].utterances.items() if score.quality]
        tried = set(measured) | runs[0].unscorable.keys()
        complete = len(tried - runs[0].unscorable.keys())
        rows.append([label(name, len(runs)), *cells, f"{complete} of {len(tried)}"])
    return Table(["system", *(METRIC_LABELS[m] for m in metrics), "Utt"], rows)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
