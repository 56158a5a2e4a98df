"""Experiments on disk, alone and together, and the script that compares them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from places import ROOT

from espnet_plugins.analysis.comparison.curves import COLUMNS
from espnet_plugins.analysis.comparison.experiments import merge_curves, read_experiments
from espnet_plugins.analysis.scoring.scores import ScoreError

SCRIPT = ROOT / "benchmarks" / "compare.py"


def write_experiment(root, scores):
    for system, sets in scores.items():
        (root / "score" / system).mkdir(parents=True)
        for name, score in sets.items():
            score.write(root / "score" / system / f"{name}.json")
        if "seed" in system:
            (root / "runs" / system).mkdir(parents=True)
            rows = [f"{e},{40 * e},{e},,,{0.5 / e}" for e in (1, 2, 3)]
            (root / "runs" / system / "curve.csv").write_text("\n".join([",".join(COLUMNS), *rows]))
    return root


def renamed(sets, system):
    return {name: dataclasses.replace(score, system=system) for name, score in sets.items()}


@pytest.fixture
def two(tmp_path, scores):
    """Two experiments with the same references, one run in common, and one name for different runs."""
    references = {name: scores[name] for name in ("clean", "noisy", "se")}
    run = "ssl_mse_joint_seed0"
    common = {**references, "si_snr_joint_seed0": renamed(scores[run], "si_snr_joint_seed0")}
    first = write_experiment(tmp_path / "one", {**common, run: scores[run]})
    other = renamed(scores["ssl_mse_joint_seed1"], run)
    return first, write_experiment(tmp_path / "two", {**common, run: other})


def test_one_experiment_keeps_its_names(tmp_path, scores):
    read, curves = read_experiments([write_experiment(tmp_path / "one", scores)])
    assert read == scores
    assert list(curves) == [name for name in scores if "seed" in name]
    merged, measure = merge_curves(curves)
    assert measure == "valid_wer_ctc"
    assert {name: len(curve.values) for name, curve in merged.items()} == {
        "ssl_mse_joint": 2,
        "ssl_soft_dtw_joint": 2,
    }
    assert merge_curves({}) == ({}, "")


def test_what_is_equal_is_shared_and_what_differs_is_told_apart(two):
    scores, curves = read_experiments(list(two))
    runs = ["si_snr_joint_seed0", "one/ssl_mse_joint_seed0", "two/ssl_mse_joint_seed0"]
    assert list(scores) == ["clean", "noisy", "se", *runs]
    assert list(curves) == runs


def test_experiments_with_other_references_are_not_mixed(tmp_path, scores, two):
    changed = {**scores, "se": renamed(scores["noisy"], "se")}
    with pytest.raises(ScoreError, match="'se' has other scores in one than in three"):
        read_experiments([two[0], write_experiment(tmp_path / "three", changed)])


def test_equal_names_are_refused(tmp_path, scores, two):
    with pytest.raises(ScoreError, match="same name"):
        read_experiments([two[0], write_experiment(tmp_path / "elsewhere" / "one", scores)])


def test_script_prints_the_tables_and_writes_the_report(tmp_path, two):
    out = tmp_path / "out"
    command = [sys.executable, str(SCRIPT), *map(str, two), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "one: SSL-MSE + ASR loss against" in done.stdout
    assert "noisy sets together" in done.stdout
    assert {path.name for path in out.iterdir()} == {"RESULTS.md", "report.html", "curves.png"}


def test_script_says_in_one_line_what_is_missing(tmp_path):
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"compare.py: error: no scores in {tmp_path}/score\n"


def test_script_joins_folds(tmp_path, scores):
    """Speakers differ between folds, so that references do, too; the words of all are counted together."""
    folds = [write_experiment(tmp_path / f"digits_fold{number}", scores) for number in (1, 2)]
    command = [sys.executable, str(SCRIPT), *map(str, folds), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "SSL-MSE + ASR loss (2 seeds)" in done.stdout
    text = (tmp_path / "out" / "RESULTS.md").read_text()
    assert text.startswith("# Results of digits, 2 folds\n")
    words = scores["noisy"]["test_seen"].total("words").reference
    assert f"Words in the references: test_seen {2 * words}" in text
