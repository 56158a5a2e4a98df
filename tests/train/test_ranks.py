"""Training in several processes: ESPnet's own trainer on two gloo ranks, and its way of starting workers."""

import multiprocessing
import socket

import pytest
import tiny_training
import torch
from espnet2.train.distributed_utils import resolve_distributed_mode

from espnet_plugins.tasks import JointTask


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four utterances of four lengths, of which two ranks take two each."""
    folder = tmp_path_factory.mktemp("data")
    tiny_training.write_data(folder, utterances=4)
    return folder


@pytest.fixture
def config(make_upstream):
    settings = tiny_training.joint(make_upstream())
    (entry,) = settings["enh_criterions"]
    entry["name"] = "ssl_mse"
    for key in ("num_iters_per_epoch", "batch_bins", "scheduler", "scheduler_conf"):
        del settings[key]
    encoder = {**settings["asr_encoder_conf"], "dropout": 0.0}
    plain = {"batch_type": "unsorted", "batch_size": 4, "optim": "sgd", "optim_conf": {"lr": 0.1}, "grad_clip": -1}
    return {**settings, **plain, "asr_encoder_conf": encoder, "max_epoch": 1}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def train(config, data, out, *, ranks, max_epoch):
    """Run a training up to an epoch, in one process or in several."""
    arguments = tiny_training.command({**config, "max_epoch": max_epoch}, data, out)
    each = [[]]
    if ranks > 1:
        common = "--dist_backend gloo --multiprocessing_distributed false --dist_master_addr 127.0.0.1 "
        common += f"--dist_master_port {free_port()} --dist_world_size {ranks} --unused_parameters true"
        each = [[*common.split(), "--dist_rank", str(k), "--local_rank", str(k)] for k in range(ranks)]
    processes = [tiny_training.start([*arguments, *more], out) for more in each]
    for process in processes:
        process.join(tiny_training.LIMIT)
        assert process.exitcode == 0, (out / "train.log").read_text()[-3000:]


def weights(out, name):
    return torch.load(out / name, weights_only=True)


def test_two_ranks_give_the_gradient_of_the_joint_batch_and_checkpoints_are_interchangeable(config, data, tmp_path):
    """One step of gradient descent is the gradient; then each goes on with the other's checkpoint."""
    one, two = tmp_path / "one", tmp_path / "two"
    train(config, data, one, ranks=1, max_epoch=1)
    train(config, data, two, ranks=2, max_epoch=1)
    first = weights(one, "1epoch.pth")
    for name, value in weights(two, "1epoch.pth").items():
        torch.testing.assert_close(value, first[name], rtol=1e-5, atol=1e-6, msg=name)
    train(config, data, one, ranks=2, max_epoch=2)
    train(config, data, two, ranks=1, max_epoch=2)
    second = weights(one, "2epoch.pth")
    assert any(not torch.equal(second[name], first[name]) for name in first)
    for name, value in weights(two, "2epoch.pth").items():
        torch.testing.assert_close(value, second[name], rtol=1e-5, atol=1e-6, msg=name)


def test_registration_survives_spawn(config, data, tmp_path):
    """ESPnet spawns a worker per GPU, which imports nothing but the task's module."""
    arguments = tiny_training.command(config, data, tmp_path)
    args = JointTask.get_parser().parse_args([*arguments, "--dry_run", "true"])
    resolve_distributed_mode(args)
    worker = multiprocessing.get_context("spawn").Process(target=JointTask.main_worker, args=(args,), daemon=False)
    worker.start()
    worker.join(tiny_training.LIMIT)
    assert worker.exitcode == 0


def test_ranks_draw_their_own_perturbations_and_repeat_them(make_upstream, tmp_path):
    tiny_training.get_ready()

    def drawn():
        port = free_port()
        queue = tiny_training._context.Queue()
        ranks = [
            tiny_training._context.Process(target=tiny_training.draw, args=(k, port, str(make_upstream()), queue))
            for k in range(2)
        ]
        for rank in ranks:
            rank.start()
        result = dict(queue.get(timeout=tiny_training.LIMIT) for _ in ranks)
        for rank in ranks:
            rank.join(tiny_training.LIMIT)
        return result[0], result[1]

    first, second = drawn()
    assert first != second
    assert drawn() == (first, second)
