"""The paper's table: word and phone error rates of every objective on clean speech, seen and unseen noise."""

from __future__ import annotations

from collections.abc import Mapping

from espnet_plugins.analysis.comparison.tables import Table, datasets, mean_cell
from espnet_plugins.analysis.scoring.names import label
from espnet_plugins.analysis.scoring.scores import ScoreError, Scores, group_seeds

# Head of the recipe -> what its error rate is called.
RATES = {"asr": "WER", "pr": "PER"}


def _rate(head: str) -> str:
    return RATES.get(head, f"WER by {head}")


def paper_table(scores: Mapping[str, Scores]) -> Table:
    """Put the error rates of several recognizers side by side, in per cent.

    Args:
        scores: Head (a key of RATES, or a judge) -> scores, of the same systems and test sets.

    Returns:
        One row per configuration; for every test set a column per head: mean and standard deviation over the seeds.

    Raises:
        ScoreError: When the heads were not scored on the same systems and test sets.
    """
    first = next(iter(scores.values()))
    for head, by_system in scores.items():
        if list(by_system) != list(first) or datasets(by_system) != datasets(first):
            raise ScoreError(f"the scores of '{head}' are of other systems or test sets: run stage 7 again")
    header = ["system", *(f"{name} {RATES.get(head, f'WER by {head}')}" for name in datasets(first) for head in scores)]
    rows = []
    for configuration, seeds in group_seeds(first).items():
        cells = [
            mean_cell([by_system[seed][name].total("words").rate for seed in seeds])
            for name in datasets(first)
            for by_system in scores.values()
        ]
        rows.append([label(configuration, len(seeds)), *cells])
    return Table(header, rows)
