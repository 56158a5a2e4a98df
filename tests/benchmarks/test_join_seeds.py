"""Further runs are added to an experiment, or refused where they are not of it."""

import dataclasses

import numpy as np
import pytest

from espnet_plugins.analysis.comparison.cost import Cost
from espnet_plugins.analysis.comparison.curves import Curve
from espnet_plugins.analysis.report.content import Content
from espnet_plugins.analysis.scoring.errors import score_transcripts
from espnet_plugins.analysis.scoring.scores import ScoreError, SetScore
from pages.seeds import join_seeds

SAID = {"a": "one two three", "b": "four five"}


def score(system, heard, said=SAID):
    utterances = score_transcripts(said, dict(zip(said, heard, strict=True)), conditions={}, speakers={})
    return {"test": SetScore(system, "test", utterances)}


def content(seeds, *, noisy=("one two", "four five"), measure="valid_wer_ctc", lr=0.1, said=SAID):
    heard = {"noisy": noisy, **{f"ssl_mse_joint_seed{seed}": ("one two three", f"four {seed}") for seed in seeds}}
    curve = Curve(np.array([0.0, 10.0]), np.array([[50.0, 10.0 + seed] for seed in seeds]), np.array([0.0, 5.0]))
    return Content(
        title="Results",
        scores={system: score(system, words, said) for system, words in heard.items()},
        environment={"command": f"run.sh --seeds '{' '.join(map(str, seeds))}'", "machine": f"of {seeds}"},
        curves={"ssl_mse_joint": curve},
        measure=measure,
        costs={name: Cost(updates=float(len(heard))) for name in heard},
        settings={"ssl_mse_joint": {"lr": lr}},
    )


def test_runs_stand_beside_those_of_before():
    joined = join_seeds(content([0]), content([1, 2]))
    assert list(joined.scores) == ["noisy", *(f"ssl_mse_joint_seed{seed}" for seed in range(3))]
    for seed in range(3):
        heard = joined.scores[f"ssl_mse_joint_seed{seed}"]["test"].utterances["b"].hypothesis
        assert heard == f"four {seed}"
    assert joined.curves["ssl_mse_joint"].values.tolist() == [[50, 10], [50, 11], [50, 12]]
    assert joined.environment == {"command": "run.sh --seeds '0'; run.sh --seeds '1 2'", "machine": "of [1, 2]"}
    assert joined.costs.keys() == joined.scores.keys()


def test_runs_that_were_evaluated_at_other_updates():
    """As where utterances are cut into chunks: the number of updates in an epoch differs from seed to seed."""
    added = dataclasses.replace(
        content([1]),
        curves={"ssl_mse_joint": Curve(np.array([2.0, 8.0]), np.array([[40.0, 10.0]]), np.array([1.0, 4.0]))},
    )
    joined = join_seeds(content([0]), added).curves["ssl_mse_joint"]
    assert joined.updates.tolist() == [2, 8]
    assert joined.values.tolist() == [[42, 18], [40, 10]]
    assert joined.seconds.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        ("valid_loss", "valid_wer_ctc", [[50, 11]]),
        ("valid_wer_ctc", "valid_loss", [[50, 10]]),
        ("valid_cer_ctc", "valid_wer_ctc", [[50, 11]]),
    ],
)
def test_of_curves_of_two_measures_those_stay_that_can_be_compared(before, now, kept):
    joined = join_seeds(content([0], measure=before), content([1], measure=now))
    assert joined.measure == (now if kept == [[50, 11]] else before)
    assert joined.curves["ssl_mse_joint"].values.tolist() == kept


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({"noisy": ("one two", "four six")}, "test, noisy: 1 of 2 utterances have other transcripts, b the first"),
        ({"said": {"a": "one two three", "c": "four five"}}, "2 of 2 utterances have other transcripts"),
        ({"lr": 0.2}, "ssl_mse_joint was trained with other settings: lr"),
    ],
)
def test_what_is_of_another_experiment_is_refused(added, message):
    with pytest.raises(ScoreError, match=message):
        join_seeds(content([0]), content([1], **added))


def test_what_shows_nothing_of_its_mixtures_is_refused():
    alone = content([1])
    scores = {name: sets for name, sets in alone.scores.items() if name != "noisy"}
    with pytest.raises(ScoreError, match="no system is in both"):
        join_seeds(content([0]), dataclasses.replace(alone, scores=scores))
