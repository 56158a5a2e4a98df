"""Stored scores: what is written is read, and what does not fit is refused."""

from __future__ import annotations

import json

import pytest

from espnet_plugins.analysis.scoring.scores import ScoreError, SetScore, group_seeds, read_scores


def write_all(root, scores):
    for system, sets in scores.items():
        (root / system).mkdir(parents=True)
        for name, score in sets.items():
            score.write(root / system / f"{name}.json")


def test_round_trip_and_order(tmp_path, scores):
    write_all(tmp_path, scores)
    read = read_scores(tmp_path)
    assert read == scores
    assert list(read) == list(scores)


def test_selection_keeps_the_order_asked_for(tmp_path, scores):
    write_all(tmp_path, scores)
    read = read_scores(tmp_path, systems=["se", "clean"], datasets=["test_unseen"])
    assert [(name, list(sets)) for name, sets in read.items()] == [
        ("se", ["test_unseen"]),
        ("clean", ["test_unseen"]),
    ]


def test_seeds_sort_as_numbers(tmp_path, scores):
    score = scores["se"]["test_seen"]
    write_all(tmp_path, {f"a_seed{n}": {"test": score} for n in (10, 9)})
    assert group_seeds(read_scores(tmp_path)) == {"a": ["a_seed9", "a_seed10"]}


def test_missing_hypotheses_and_quality_survive(tmp_path, scores):
    score = scores["se"]["test_seen"]
    assert score.missing == []
    path = tmp_path / "s.json"
    SetScore("se", "test", score.utterances, {"u": "silent"}).write(path)
    assert SetScore.read(path).unscorable == {"u": "silent"}


@pytest.mark.parametrize("content", ["", "[]", '{"format": 0}', '{"format": 1}', '{"format": 1, "utterances": 3}'])
def test_broken_file_is_named(tmp_path, content):
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(ScoreError, match=r"s\.json"):
        SetScore.read(path)


def test_systems_scored_on_other_utterances_are_refused(tmp_path, scores):
    write_all(tmp_path, scores)
    path = tmp_path / "se" / "test_seen.json"
    content = json.loads(path.read_text())
    dropped, _ = content["utterances"].popitem()
    path.write_text(json.dumps(content))
    with pytest.raises(ScoreError, match=f"'se' and 'clean' differ.*test_seen.*{dropped}"):
        read_scores(tmp_path)


def test_a_set_that_one_system_lacks_is_named(tmp_path, scores):
    write_all(tmp_path, scores)
    (tmp_path / "noisy" / "test_seen.json").unlink()
    with pytest.raises(ScoreError, match="'noisy' is scored on test_unseen"):
        read_scores(tmp_path)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(ScoreError, match="no scores in"):
        read_scores(tmp_path)
