"""A training that is stopped or killed at any moment ends like one that was not: same losses, same model."""

import os
import random
import shutil
import signal
import time

import pytest
import tiny_training
import torch

from espnet_plugins.train import checkpoint
from espnet_plugins.train.preemption import REQUEUE


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tiny_training.write_data(folder)
    return folder


def finish(process):
    process.join(tiny_training.LIMIT)
    assert not process.is_alive()
    return process.exitcode


class Reference:
    """An uninterrupted training, and what its interrupted duplicates are compared with."""

    def __init__(self, config, data, out):
        self.config, self.data, self.out = config, data, out
        tiny_training.get_ready()
        start = time.monotonic()
        assert finish(self.start(out)) == 0, (out / "train.log").read_text()[-2000:]
        self.seconds = time.monotonic() - start

    def start(self, out, *more, **config):
        return tiny_training.start([*tiny_training.command({**self.config, **config}, self.data, out), *more], out)

    def check(self, out, losses=True):
        if losses:
            assert tiny_training.losses(out) == tiny_training.losses(self.out)
        ours, theirs = (torch.load(path / "valid.loss.ave_1best.pth", weights_only=True) for path in (out, self.out))
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name
        one, other = (checkpoint.read(path / checkpoint.LATEST) for path in (out, self.out))
        for name, epochs in one["reporter"]["stats"].items():
            for part in ("train", "valid"):
                for key, value in epochs[part].items():
                    if "time" not in key:
                        assert value == other["reporter"]["stats"][name][part][key] or value != value, (name, part, key)
        torch.testing.assert_close(one["optimizers"], other["optimizers"], rtol=0, atol=0)
        assert one["schedulers"] == other["schedulers"]
        assert one.get("gradients", {}).keys() == other.get("gradients", {}).keys()
        torch.testing.assert_close(one.get("gradients"), other.get("gradients"), rtol=0, atol=0)


@pytest.fixture(scope="module", params=["joint", "chunks"])
def reference(request, data, tmp_path_factory, make_upstream):
    config = tiny_training.joint(make_upstream()) if request.param == "joint" else tiny_training.enhancement()
    return Reference(config, data, tmp_path_factory.mktemp("reference") / request.param)


def wait_for(condition, process):
    deadline = time.monotonic() + tiny_training.LIMIT
    while not condition():
        assert process.is_alive(), "ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def updates(out):
    path = out / "losses.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_stopped_again_and_again_it_repeats_no_update(reference, tmp_path):
    stops = 0
    for target, number in ((2, signal.SIGTERM), (7, signal.SIGUSR1), (11, signal.SIGTERM)):
        process = reference.start(tmp_path)
        wait_for(lambda target=target: updates(tmp_path) >= target, process)
        os.kill(process.pid, number)
        code = finish(process)
        assert code in (0, REQUEUE), (tmp_path / "train.log").read_text()[-2000:]
        stops += code == REQUEUE
    assert stops >= 2
    assert finish(reference.start(tmp_path)) == 0
    assert updates(tmp_path) == updates(reference.out)
    assert "Going on after update" in (tmp_path / "train.log").read_text()
    reference.check(tmp_path)


@pytest.mark.recipe
def test_killed_ten_times_at_random_moments(reference, tmp_path):
    draw = random.Random(8)
    for _ in range(10):
        # A checkpoint after each update: the kill comes while one is written, too.
        process = reference.start(tmp_path, "--checkpoint_minutes", "1e-9")
        process.join(draw.uniform(0.1, 1.2) * reference.seconds / 2)
        process.kill()
        finish(process)
    assert finish(reference.start(tmp_path, "--checkpoint_minutes", "1e-9")) == 0
    reference.check(tmp_path)


def test_a_corrupt_checkpoint_is_replaced_by_the_one_before(reference, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(reference.out, out, symlinks=True)
    latest = out / checkpoint.LATEST
    content = bytearray(latest.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 256] = bytes(byte ^ 1 for byte in content[middle : middle + 256])
    latest.write_bytes(content)
    assert finish(reference.start(out)) == 0
    log = (out / "train.log").read_text()
    assert "checkpoint.pth is corrupt: resuming from checkpoint.previous.pth" in log
    reference.check(out)


def test_more_epochs_continue_the_same_experiment(reference, tmp_path):
    assert finish(reference.start(tmp_path, max_epoch=2)) == 0
    assert updates(tmp_path) < updates(reference.out)
    assert finish(reference.start(tmp_path)) == 0
    assert updates(tmp_path) == updates(reference.out)
    reference.check(tmp_path)


def test_gradients_carried_over_the_end_of_an_epoch_survive(data, tmp_path):
    """Five batches an epoch, two to an update: the fifth one's gradients belong to the next epoch's first update."""
    config = {**tiny_training.enhancement(), "accum_grad": 2, "num_iters_per_epoch": 5, "batch_size": 2}
    reference = Reference(config, data, tmp_path / "reference")
    out = tmp_path / "out"
    assert finish(reference.start(out, max_epoch=1)) == 0
    # Killed after the second epoch's first batch, whose checkpoint was written before it, with the fifth's gradients.
    process = reference.start(out, "--checkpoint_minutes", "1e-9")
    wait_for(lambda: updates(out) >= 6, process)
    process.kill()
    finish(process)
    assert finish(reference.start(out)) == 0
    reference.check(out)


def test_models_kept_at_intervals_change_nothing_and_survive_a_stop(data, tmp_path):
    reference = Reference(tiny_training.enhancement(), data, tmp_path / "reference")
    total = updates(reference.out)
    kept = {}
    for name, stop in (("whole", False), ("stopped", True)):
        out = tmp_path / name
        if stop:
            process = reference.start(out, "--keep_every_updates", "3")
            wait_for(lambda out=out: updates(out) >= 4, process)
            os.kill(process.pid, signal.SIGTERM)
            finish(process)
        assert finish(reference.start(out, "--keep_every_updates", "3")) == 0
        reference.check(out)
        folder = out / checkpoint.KEPT
        assert {path.name for path in folder.iterdir()} == {f"{n}.pth" for n in range(0, total + 1, 3)}
        kept[name] = {path.name: torch.load(path, weights_only=True) for path in folder.iterdir()}
    for name, model in kept["whole"].items():
        for key, value in model.items():
            assert torch.equal(value, kept["stopped"][name][key]), (name, key)
    first, later = kept["whole"]["0.pth"], kept["whole"]["3.pth"]
    assert any(not torch.equal(first[key], later[key]) for key in first)
