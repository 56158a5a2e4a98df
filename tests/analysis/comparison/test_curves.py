"""Convergence measures on curves whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from espnet_plugins.analysis.comparison.curves import (
    COLUMNS,
    JUDGED,
    MEASURES,
    Curve,
    choose_measure,
    common_thresholds,
    first_below,
    mean_height,
    merge_seeds,
    read_curve,
)
from espnet_plugins.analysis.scoring.scores import ScoreError


def write_curve(path, rows):
    lines = [",".join(COLUMNS), *(",".join("" if v is None else str(v) for v in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_empty_fields_are_read_as_nan(tmp_path):
    rows = [(0, 0, None, 3.0, 0.5, None), (1, 40, 12.5, 2.0, 0.4, 0.3)]
    table = read_curve(write_curve(tmp_path / "curve.csv", rows))
    assert table["updates"].tolist() == [0, 40]
    assert np.isnan(table["seconds"][0])
    assert np.isnan(table["valid_wer_ctc"][0])
    assert table["valid_cer_ctc"].tolist() == [0.5, 0.4]


@pytest.mark.parametrize(
    "content",
    ["", ",".join(COLUMNS) + "\n", "epoch,updates\n1,2\n", ",".join(COLUMNS) + "\n1,x,,,,\n"],
)
def test_broken_curve_is_named(tmp_path, content):
    path = tmp_path / "curve.csv"
    path.write_text(content)
    with pytest.raises(ScoreError, match=r"curve\.csv"):
        read_curve(path)


def test_what_a_judge_made_of_a_training_is_a_measure_of_its_own(tmp_path):
    (tmp_path / "judged.csv").write_text(f"{','.join(COLUMNS)},{JUDGED}\n,0,0,,,,0.5\n,20,3.5,,,,0.25\n")
    write_curve(tmp_path / "plain.csv", [(1, 10, 2, 7, None, None), (2, 20, 4, 6, None, None)])
    judged, plain = read_curve(tmp_path / "judged.csv"), read_curve(tmp_path / "plain.csv")
    assert np.isnan(plain[JUDGED]).all()
    assert choose_measure([judged]) == JUDGED
    assert choose_measure([plain]) == "valid_loss"
    curve = merge_seeds([judged], JUDGED)
    assert curve.updates.tolist() == [0, 20]
    assert curve.values.tolist() == [[50, 25]]


def test_updates_must_increase(tmp_path):
    path = write_curve(tmp_path / "curve.csv", [(0, 10, 0, 1, 1, 1), (1, 10, 0, 1, 1, 1)])
    with pytest.raises(ScoreError, match="must increase"):
        read_curve(path)


def table(updates, values, measure="valid_wer_ctc"):
    nan = np.full(len(updates), np.nan)
    columns = dict.fromkeys((*COLUMNS, *MEASURES), nan)
    seconds = np.array(updates, dtype=float) / 10
    return {**columns, "updates": np.array(updates, float), "seconds": seconds, measure: np.array(values, float)}


def test_measure_is_the_most_telling_that_all_runs_have():
    with_wer, with_loss = table([0, 1], [1, 2]), table([0, 1], [1, 2], "valid_loss")
    assert choose_measure([with_wer, with_wer]) == "valid_wer_ctc"
    with pytest.raises(ScoreError, match="share none"):
        choose_measure([with_wer, with_loss])
    assert choose_measure([{**with_wer, "valid_loss": with_loss["valid_loss"]}, with_loss]) == "valid_loss"


def test_seeds_on_different_grids_are_interpolated_where_both_are_known():
    seeds = [table([0, 10, 20], [0.6, 0.4, 0.3]), table([5, 15], [0.6, 0.4])]
    merged = merge_seeds(seeds, "valid_wer_ctc")
    assert merged.updates.tolist() == [5, 10, 15]
    assert merged.values == pytest.approx(np.array([[50, 40, 35], [60, 50, 40]]))
    assert merged.mean == pytest.approx(np.array([55, 45, 37.5]))
    assert merged.seconds == pytest.approx(np.array([0.5, 1.0, 1.5]))
    assert merge_seeds([table([0, 1], [9, 8], "valid_loss")], "valid_loss").values.tolist() == [[9, 8]]


def test_seeds_without_common_updates_are_refused():
    with pytest.raises(ScoreError, match="do not meet"):
        merge_seeds([table([0, 10], [1, 1]), table([20, 30], [1, 1])], "valid_wer_ctc")


def test_threshold_is_reached_for_the_first_time():
    positions, values = np.array([0.0, 10, 20, 30]), np.array([50.0, 30, 45, 20])
    assert first_below(positions, values, 35) == pytest.approx(7.5)
    assert first_below(positions, values, 55) == 0
    assert first_below(positions, values, 20) == 30
    assert first_below(positions, values, 19) is None


def test_area_is_that_of_the_polygon():
    curve = Curve(np.array([0.0, 10, 30]), np.array([[50.0, 30, 30], [10, 10, 10]]), np.zeros(3))
    assert mean_height(curve, start=0, end=30).tolist() == pytest.approx([(400 + 600) / 30, 10])
    assert mean_height(curve, start=0, end=5).tolist() == pytest.approx([45, 10])
    assert mean_height(curve, start=5, end=30)[0] == pytest.approx((35 * 5 + 600) / 25)
    for start, end in ((0, 31), (-1, 30), (10, 10)):
        with pytest.raises(ScoreError, match="has no area"):
            mean_height(curve, start=start, end=end)


def test_every_curve_reaches_the_common_thresholds():
    fast = Curve(np.array([0.0, 10]), np.array([[50.0, 10]]), np.zeros(2))
    slow = Curve(np.array([0.0, 10]), np.array([[52.0, 30]]), np.zeros(2))
    thresholds = common_thresholds([fast, slow])
    assert thresholds == [40, 30]
    for threshold in thresholds:
        assert all(first_below(c.updates, c.mean, threshold) is not None for c in (fast, slow))
