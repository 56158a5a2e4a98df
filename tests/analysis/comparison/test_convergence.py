"""Tables of convergence on curves whose answers are known."""

from __future__ import annotations

import numpy as np

from espnet_plugins.analysis.comparison.convergence import convergence_table, evaluation_table
from espnet_plugins.analysis.comparison.curves import Curve


def test_convergence_measures(curves):
    table = convergence_table(curves, "valid_wer_ctc")
    assert table.header[2] == "mean development WER (%) over updates 0 to 100"
    first, second = table.rows
    assert first[1:5] == ["2", "39.0 ± 2.1", "50.0 ± 0.0", "22.0 ± 2.8"]
    assert second[1:5] == ["1", "27.0", "50.0", "18.0"]
    # Half-way from 50 to 22, and 22 itself.
    assert table.header[5:] == ["updates to 36.0", "seconds", "updates to 22.0", "seconds"]
    assert first[5:] == ["65", "26", "100", "40"]
    assert second[5:] == ["23", "9", "47", "19"]


def test_evaluations_are_those_that_all_share(curves):
    longer = Curve(np.array([0.0, 50, 75, 100]), np.full((1, 4), 7.0), np.zeros(4))
    table = evaluation_table({**curves, "other": longer}, "valid_wer_ctc")
    assert table.header == ["development WER (%) after updates", "0", "50", "100"]
    assert table.rows[0] == ["SSL-MSE + ASR loss", "50.0 ± 0.0", "42.0 ± 2.8", "22.0 ± 2.8"]


def test_long_curves_are_thinned_with_their_start_kept():
    updates = np.arange(0.0, 4000, 40)
    table = evaluation_table({"a": Curve(updates, np.zeros((1, 100)), updates)}, "valid_loss", columns=6)
    shown = [float(cell) for cell in table.header[1:]]
    assert len(shown) <= 6
    assert shown[:2] == [0, 40 * 2] or shown[0] == 0
    assert shown[-1] == updates[-1]
    assert np.all(np.diff(np.diff(shown)) > 0)
