"""Utterances on which a recognizer loops: found, listed, and the comparison without them."""

import dataclasses

import pytest

from espnet_plugins.analysis.comparison.comparisons import NOISY_SETS
from espnet_plugins.analysis.comparison.loops import find_loops, loop_table, without_loops
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.report.html_report import render_report
from espnet_plugins.analysis.report.results import render_results
from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.scores import SetScore

LOOPED = "spk1_004"


@pytest.fixture
def with_loop(scores):
    """The scores; of one utterance, with one seed, the recognizer says the same words again and again."""
    score = scores["ssl_mse_joint_seed1"]["test_seen"]
    before = score.utterances[LOOPED]
    heard = {LOOPED: before.reference + " and so on" * 30}
    about = {"conditions": {LOOPED: before.condition}, "speakers": {LOOPED: before.speaker}}
    one = score_transcripts({LOOPED: before.reference}, heard, **about)[LOOPED]
    utterances = {**score.utterances, LOOPED: one}
    sets = {**scores["ssl_mse_joint_seed1"], "test_seen": dataclasses.replace(score, utterances=utterances)}
    return {**scores, "ssl_mse_joint_seed1": sets}


def test_what_looped_is_listed(scores, with_loop):
    assert find_loops(scores) == {}
    assert find_loops(with_loop) == {("test_seen", LOOPED): ["ssl_mse_joint_seed1"]}
    assert loop_table(with_loop).rows == [["test_seen", LOOPED, "SSL-MSE + ASR loss 90"]]


def test_without_it_every_system_is_judged_on_the_others(scores, with_loop):
    left = without_loops(with_loop)
    for system, by_set in scores.items():
        others = [one.words for utt, one in by_set["test_seen"].utterances.items() if utt != LOOPED]
        assert left[system]["test_seen"].total("words") == sum(others[1:], others[0])
        assert left[system]["test_unseen"].total("words") == by_set["test_unseen"].total("words")
        assert len(left[system][NOISY_SETS].utterances) == 2 * 60 - 1


def test_a_set_of_which_nothing_is_left(with_loop):
    one = with_loop["ssl_mse_joint_seed1"]["test_seen"]
    alone = SetScore(one.system, "test_seen", {LOOPED: one.utterances[LOOPED]})
    assert without_loops({one.system: {"test_seen": alone}}) == {}
    content = Content("t", {one.system: {"test_seen": alone}}, {})
    assert "90" in render_results(content)
    assert "falls into a loop" in render_report(content, examples=[])


def test_pages_say_it_where_there_is_one(scores, with_loop):
    for found, present in ((scores, False), (with_loop, True)):
        content = Content("t", found, {"commit": "x"})
        assert ("## Loops of the recognizer" in render_results(content)) is present
        assert ("falls into a loop" in render_report(content, examples=[])) is present
