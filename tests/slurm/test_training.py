"""Trainings under Slurm: ranks on one node and on two give the result of one process, a stopped one goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_training
import torch
import yaml
from slurm_testbed import RECIPE, REPOSITORY, write_small_config

from espnet_plugins.train import checkpoint

pytestmark = [pytest.mark.recipe, pytest.mark.slurm]
SCRIPT = Path(__file__).with_name("train_in_job.py")


class Training:
    """A tiny training on data of its own."""

    def __init__(self, testbed, folder, config, **data):
        self.testbed, self.folder = testbed, folder
        self.data = folder / "data"
        tiny_training.write_data(self.data, **data)
        self.config = folder / "training.yaml"
        self.config.write_text(yaml.safe_dump(config))

    def words(self, name):
        return [sys.executable, str(SCRIPT), str(self.data), str(self.config), str(self.folder / name)]

    def here(self, name="here"):
        """Train in a process of this machine."""
        path = f"{RECIPE}{os.pathsep}{REPOSITORY}"
        subprocess.run(self.words(name), check=True, env={**os.environ, "PYTHONPATH": path}, timeout=300)
        return self.folder / name

    def start(self, name, **resources):
        """Train as a job."""
        config = write_small_config(self.folder / f"{name}.yaml", **{"memory": "3G", **resources})
        words = ["--backend", "slurm", "--kind", "train", f"{self.folder}/{name}.txt", *self.words(name)]
        return self.testbed.start("local.cmd", *words, config=config)

    def job(self, name, **resources):
        """Train as a job and wait for it."""
        process = self.start(name, **resources)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return self.folder / name


def model(out):
    return torch.load(out / "valid.loss.ave_1best.pth", weights_only=True)


def epochs(out):
    return checkpoint.read(out / checkpoint.LATEST)["reporter"]["stats"]


def test_two_ranks_give_the_result_of_one_process_with_the_same_global_batch(testbed, tmp_path, make_upstream):
    # Nothing random, utterances of one length: padding and draws differ between the ranks' batches by design.
    config = {**tiny_training.joint(make_upstream()), "enh_criterions": [tiny_training.CRITERION]}
    config["asr_encoder_conf"] = {**config["asr_encoder_conf"], "dropout": 0.0}
    config.update(optim="sgd", optim_conf={"lr": 0.05}, max_epoch=2)
    training = Training(testbed, tmp_path, config, seconds=0.4)
    one = training.here()
    two_processes = training.job("processes", processes=2)
    two_nodes = training.job("nodes", nodes=2)
    assert "0/2]" in (two_processes / "train.log").read_text()
    assert "0/2]" in (two_nodes / "train.log").read_text()
    for out in (two_processes, two_nodes):
        for name, values in model(one).items():
            torch.testing.assert_close(model(out)[name], values, rtol=1e-4, atol=1e-5)
        for epoch, parts in epochs(one).items():
            for part in ("train", "valid"):
                assert epochs(out)[epoch][part]["loss"] == pytest.approx(parts[part]["loss"], rel=1e-4)
            assert epochs(out)[epoch]["train"]["total_count"] == parts["train"]["total_count"]


def test_a_job_told_to_stop_is_queued_again_and_ends_with_the_same_model(testbed, tmp_path, make_upstream):
    config = {**tiny_training.joint(make_upstream()), "max_epoch": 8, "num_iters_per_epoch": 12}
    training = Training(testbed, tmp_path, config)
    process = training.start("stopped")
    log = tmp_path / "stopped" / "train.log"
    testbed.wait_for(lambda: log.exists() and "epoch started" in log.read_text(), 120)
    job = testbed.slurm("squeue", "--noheader", "--name=stopped", "--format=%A").split()[0]
    testbed.slurm("scancel", "--signal=TERM", job)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "# queued again" in (tmp_path / "stopped.txt").read_text()
    assert "Stopped by SIGTERM: saved after update" in log.read_text()
    reference = training.here()
    ours, theirs = model(tmp_path / "stopped"), model(reference)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert epochs(tmp_path / "stopped")[8]["train"]["loss"] == epochs(reference)[8]["train"]["loss"]
