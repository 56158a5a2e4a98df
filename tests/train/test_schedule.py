"""A schedule over a real training: counted in updates, saved with the model, gone on with where it stopped."""

import copy
import os
import signal
import time

import pytest
import tiny_training
import torch

from espnet_plugins.tasks import JointTask
from espnet_plugins.train import checkpoint
from espnet_plugins.train.preemption import REQUEUE

KEY = "enh_model.curricula.0.done"
GAMMA = {"from": 1.0, "to": 0.01, "updates": 5}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tiny_training.write_data(folder)
    return folder


@pytest.fixture(scope="module")
def config(make_upstream):
    """Two epochs of three updates, each of two batches."""
    config = tiny_training.joint(make_upstream())
    (entry,) = config["enh_criterions"]
    entry.update(name="ssl_soft_dtw", conf={**entry["conf"], "gamma": GAMMA})
    return {**config, "accum_grad": 2, "num_iters_per_epoch": 6, "max_epoch": 2, "keep_nbest_models": 2}


def train(config, data, out, *, stop_after=None):
    process = tiny_training.start(tiny_training.command(config, data, out), out)
    losses = out / "losses.txt"
    while stop_after is not None and process.is_alive():
        if losses.exists() and len(losses.read_text().splitlines()) >= stop_after:
            os.kill(process.pid, signal.SIGTERM)
            break
        time.sleep(0.002)
    process.join(tiny_training.LIMIT)
    assert process.exitcode == (0 if stop_after is None else REQUEUE), (out / "train.log").read_text()[-3000:]


@pytest.fixture(scope="module")
def whole(config, data, tmp_path_factory):
    """The training without a stop."""
    out = tmp_path_factory.mktemp("whole")
    train(config, data, out)
    return out


def reported(out):
    return checkpoint.read(out / checkpoint.LATEST)["reporter"]["stats"]


def test_updates_are_counted_not_batches(whole):
    found = [int(torch.load(whole / f"{epoch}epoch.pth", weights_only=True)[KEY]) for epoch in (1, 2)]
    assert found == [3, 6]
    stats = reported(whole)
    gammas = [0.01 ** (min(update, 5) / 5) for update in range(6)]
    for epoch in (1, 2):
        expected = sum(gammas[3 * epoch - 3 : 3 * epoch]) / 3
        # ESPnet weighs the parts of the mean by their batches' sizes.
        assert stats[epoch]["train"]["ssl_soft_dtw_gamma"] == pytest.approx(expected, rel=0.3)
        assert stats[epoch]["valid"]["ssl_soft_dtw_gamma"] == pytest.approx(0.01, rel=1e-5)


def test_a_stopped_training_goes_on_exactly(config, data, whole, tmp_path):
    train(config, data, tmp_path, stop_after=3)
    stopped = checkpoint.read(tmp_path / checkpoint.LATEST)
    assert int(stopped["model"][KEY]) == stopped["within"]["updates"] // config["accum_grad"] > 0
    train(config, data, tmp_path)
    assert tiny_training.losses(tmp_path) == tiny_training.losses(whole)
    ours, theirs = (torch.load(out / "2epoch.pth", weights_only=True) for out in (tmp_path, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert reported(tmp_path)[2]["train"]["ssl_soft_dtw_gamma"] == reported(whole)[2]["train"]["ssl_soft_dtw_gamma"]


def test_weights_to_start_from_do_not_bring_their_place(config, data, whole, tmp_path):
    start = {"init_param": [f"{whole}/2epoch.pth"], "max_epoch": 1}
    train({**config, **start}, data, tmp_path)
    assert int(torch.load(tmp_path / "1epoch.pth", weights_only=True)[KEY]) == 3


def test_a_model_without_a_schedule_starts_from_one_with_it(config, data, whole, tmp_path):
    plain = copy.deepcopy(config)
    del plain["enh_criterions"][0]["conf"]["gamma"]
    arguments = tiny_training.command(plain, data, tmp_path)
    model = JointTask.build_model(JointTask.get_parser().parse_args(arguments))
    weights = torch.load(whole / "2epoch.pth", weights_only=True)
    assert KEY not in model.state_dict()
    model.load_state_dict(weights)
    expected = weights["enh_model.encoder.conv1d.weight"]
    assert torch.equal(model.enh_model.encoder.conv1d.weight, expected)
    with pytest.raises(RuntimeError, match=r"enh_model\.other"):
        model.load_state_dict({**weights, "enh_model.other": torch.zeros(1)})
