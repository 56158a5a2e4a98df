"""Costs are read from what the earlier stages left."""

from __future__ import annotations

import argparse
import json
import math

import pytest
import tiny_training
import torch
import yaml
from fake_experiment import SETS, Experiment

from espnet_plugins.tasks import EnhTask
from local.stages.cost import measure_cost, measure_latency
from local.stages.train_steps import MODEL


@pytest.fixture
def experiment(tmp_path):
    return Experiment(tmp_path)


def test_a_fine_tuned_system_has_every_cost(experiment):
    cost = measure_cost(experiment.steps, experiment.systems["ssl_mse_joint_seed0"])
    assert (cost.updates, cost.training_seconds, cost.model_bytes) == (200, 25, 3_000_000)
    assert math.isnan(cost.host_bytes)  # of a training that did not record it
    folder = experiment.systems["ssl_mse_joint_seed0"].trained[-1].out / "espnet"
    folder.mkdir()
    (folder / "peak_memory.json").write_text(json.dumps({"host_bytes": 2e9, "gpu_bytes": 0}))
    cost = measure_cost(experiment.steps, experiment.systems["ssl_mse_joint_seed0"])
    assert cost.host_bytes == 2e9
    assert math.isnan(cost.gpu_bytes)
    # Every step took 4 s, and every set has 8 utterances of one second.
    assert cost.enhancement_factor == cost.decoding_factor == pytest.approx(0.5)


def test_two_models_are_stored_where_two_are_needed(experiment):
    cost = measure_cost(experiment.steps, experiment.systems["se"])
    assert cost.model_bytes == 2_000_000
    assert math.isnan(cost.updates)
    assert cost.enhancement_factor == pytest.approx(0.5)


def test_without_a_front_end_there_is_no_enhancement(experiment):
    cost = measure_cost(experiment.steps, experiment.systems["noisy"])
    assert math.isnan(cost.enhancement_factor)
    assert cost.decoding_factor == pytest.approx(0.5)
    assert cost.model_bytes == 1_000_000


def test_only_enhanced_utterances_count_and_unknown_times_stay_unknown(experiment):
    system = experiment.systems["ssl_mse_joint_seed0"]
    for name in SETS:
        listed = experiment.steps.enhance(system, name).out / "spk1.scp"
        listed.write_text("".join(listed.read_text().splitlines(keepends=True)[:2]))
    assert measure_cost(experiment.steps, system).enhancement_factor == pytest.approx(2.0)
    done = experiment.steps.enhance(system, SETS[0]).done
    done.write_text(json.dumps({"fingerprint": "x"}))
    assert math.isnan(measure_cost(experiment.steps, system).enhancement_factor)


def train_front_end(experiment, **separator):
    """Leave a front-end of stage 3 with random weights."""
    step = experiment.steps.se
    settings = {**EnhTask.get_default_config(), **tiny_training.SE, "criterions": None, "init": None}
    settings["separator_conf"] = {**tiny_training.SE["separator_conf"], **separator}
    (step.out / "espnet").mkdir(exist_ok=True)
    (step.out / "espnet" / "config.yaml").write_text(yaml.safe_dump(settings))
    model = EnhTask.build_model(argparse.Namespace(**settings))
    torch.save(model.state_dict(), step.out / MODEL)
    experiment.touch(step.done, fingerprint=repr(separator))


def test_the_delay_of_the_front_end_is_that_of_every_system_that_has_it(experiment):
    def delays():
        return {name: measure_cost(experiment.steps, system).delay_seconds for name, system in own.items()}

    own = {name: experiment.systems[name] for name in ("noisy", "se", "ssl_mse_joint_seed0")}
    measure_latency(experiment.steps)
    assert all(map(math.isnan, delays().values()))
    train_front_end(experiment)
    measure_latency(experiment.steps)
    assert delays()["se"] == delays()["ssl_mse_joint_seed0"] == math.inf  # norms over the utterance
    assert math.isnan(delays()["noisy"])
    train_front_end(experiment, causal=True, norm_type="cLN")
    measure_latency(experiment.steps)
    assert delays()["se"] == 31 / 16000


def test_a_front_end_that_is_gone_is_said(experiment, capsys):
    measure_latency(experiment.steps)
    assert "no latency of the front-end: " in capsys.readouterr().out


def test_what_was_copied_from_a_set_of_the_same_audio_is_not_counted(tmp_path):
    experiment = Experiment(tmp_path, options=["--datadir", str(tmp_path / "data")])
    for name in SETS:
        folder = experiment.recipe.datadir / name
        folder.mkdir(parents=True)
        (folder / "spk1.scp").write_text("the same speech in both sets")
    steps = experiment.steps
    assert steps.duplicates == {("clean", SETS[1]): ("clean", SETS[0])}
    for name, seconds in zip(SETS, (4.0, 0.0), strict=True):
        steps.recognize(steps.systems["clean"], name).done.write_text(json.dumps({"seconds": seconds}))
    # 4 s for the 8 s that were recognized, not for the 16 s of both sets.
    assert measure_cost(steps, steps.systems["clean"]).decoding_factor == pytest.approx(0.5)
