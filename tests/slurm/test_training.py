"""Trainings under Slurm: ranks on one node and on two give the result of one process; stopped or killed they go on."""

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import kaldiio
import pytest
import soundfile
import tiny_training
import torch
import yaml
from places import RECIPE, ROOT
from slurm_testbed import SECONDS, write_small_config

from espnet_plugins.train import checkpoint
from local.common.kaldi_dir import read_table

pytestmark = [pytest.mark.recipe, pytest.mark.slurm]
SCRIPT = Path(__file__).with_name("train_in_job.py")


class Training:
    """A tiny training on data of its own, and its result in one process without Slurm."""

    def __init__(self, testbed, folder, config, **data):
        self.testbed, self.folder = testbed, folder
        self.data = folder / "data"
        tiny_training.write_data(self.data, **data)
        for name in ("wav", "spk1"):
            signals = {utt: soundfile.read(path)[::-1] for utt, path in read_table(self.data / f"{name}.scp").items()}
            kaldiio.save_ark(
                str(self.data / f"{name}.ark"),
                signals,
                scp=str(self.data / f"{name}.scp"),
                write_function="soundfile",
                write_kwargs={"format": "flac"},
            )
        self.config = folder / "training.yaml"
        self.config.write_text(yaml.safe_dump({**config, "log_interval": 1}))
        self.reference = folder / "reference"
        path = f"{RECIPE}{os.pathsep}{ROOT}"
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        subprocess.run(self.words("reference"), check=True, env=environment, timeout=SECONDS)

    def words(self, name):
        return [sys.executable, str(SCRIPT), str(self.data), str(self.config), str(self.folder / name)]

    def start(self, name, resources, **variables):
        """Train as a job."""
        config = write_small_config(self.folder / f"{name}.yaml", **{"memory": "3G", "time": "120", **resources})
        words = ["--backend", "slurm", "--kind", "train", f"{self.folder}/{name}.txt", *self.words(name)]
        return self.testbed.start("local.jobs.cmd", *words, config=config, **variables)

    def log(self, name):
        """What ESPnet has said so far."""
        path = self.folder / name / "train.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def losses(self, name):
        """Epoch and update -> every loss that was seen there, as ESPnet writes it."""
        found = {}
        line = r"(\d+)epoch:train:\d+-(\d+)batch: .*?(?<![a-z_])loss=([\d.]+(?:e[+-]\d+)?)"
        for epoch, update, loss in re.findall(line, self.log(name)):
            found.setdefault((int(epoch), int(update)), set()).add(loss)
        return found

    def check_identical(self, name, *, kills=0):
        """The same model as the reference, to the last bit, and the same losses at every update.

        A log goes through srun: a kill may take the line of one update with it. The mean of its epoch has it still.
        """
        ours, theirs = model(self.folder / name), model(self.reference)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        expected, seen = self.losses("reference"), self.losses(name)
        assert len(expected) == 96
        assert len(expected) - len(seen) <= kills
        assert seen == {update: expected[update] for update in seen}
        for epoch, parts in epochs(self.reference).items():
            for part in ("train", "valid"):
                assert epochs(self.folder / name)[epoch][part]["loss"] == parts[part]["loss"]


def model(out):
    return torch.load(out / "valid.loss.ave_1best.pth", weights_only=True)


def epochs(out):
    return checkpoint.read(out / checkpoint.LATEST)["reporter"]["stats"]


@pytest.fixture(scope="module")
def even(testbed, tmp_path_factory, make_upstream):
    """Nothing random, utterances of one length: padding and draws differ between the ranks' batches by design."""
    config = {**tiny_training.joint(make_upstream()), "enh_criterions": [tiny_training.CRITERION]}
    config["asr_encoder_conf"] = {**config["asr_encoder_conf"], "dropout": 0.0}
    config.update(optim="sgd", optim_conf={"lr": 0.05}, max_epoch=2)
    return Training(testbed, tmp_path_factory.mktemp("even"), config, seconds=0.4)


@pytest.mark.parametrize(
    ("name", "resources", "scratch"),
    [
        ("processes", {"processes": 2}, False),
        ("nodes", {"nodes": 2}, False),
        ("nodes with scratch", {"nodes": 2}, True),
    ],
)
def test_two_ranks_give_the_result_of_one_process_with_the_same_global_batch(even, name, resources, scratch):
    """On node-local copies of the audio, too: $SLURMD_NODENAME is each node's own."""
    disk = even.folder / "disk of"
    variables = {"LOCAL_SCRATCH": f"{disk} $SLURMD_NODENAME"} if scratch else {}
    process = even.start(name, resources, **variables)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    out = even.folder / name
    assert "0/2]" in even.log(name)
    for key, values in model(even.reference).items():
        torch.testing.assert_close(model(out)[key], values, rtol=1e-4, atol=1e-5)
    for epoch, parts in epochs(even.reference).items():
        for part in ("train", "valid"):
            assert epochs(out)[epoch][part]["loss"] == pytest.approx(parts[part]["loss"], rel=1e-4)
        assert epochs(out)[epoch]["train"]["total_count"] == parts["train"]["total_count"]
    read = yaml.safe_load((out / "config.yaml").read_text())["train_data_path_and_name_and_type"]
    assert str(disk) in read[0][0] if scratch else str(even.data) in read[0][0]
    if scratch:
        for node in ("node1", "node2"):
            copies = sorted(path.stat().st_size for path in Path(f"{disk} {node}").glob("*.ark"))
            assert copies == sorted(path.stat().st_size for path in even.data.glob("*.ark"))


@pytest.fixture(scope="module")
def long(testbed, tmp_path_factory, make_upstream):
    """Eight epochs of twelve updates, with dropout, random perturbations, a schedule."""
    config = {**tiny_training.joint(make_upstream()), "max_epoch": 8, "num_iters_per_epoch": 12}
    return Training(testbed, tmp_path_factory.mktemp("long"), config)


def test_a_job_told_to_stop_is_queued_again_and_ends_with_the_same_model(long):
    process = long.start("stopped", {})
    long.testbed.wait_for(lambda: "epoch started" in long.log("stopped"))
    job = long.testbed.slurm("squeue", "--noheader", "--name=stopped", "--format=%A").split()[0]
    long.testbed.slurm("scancel", "--signal=TERM", job)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert "# queued again" in (long.folder / "stopped.txt").read_text()
    assert "Stopped by SIGTERM: saved after update" in long.log("stopped")
    long.check_identical("stopped")


def test_a_job_killed_ten_times_at_random_moments_ends_with_the_same_model(long):
    """The training alone, or the batch script with it; each time the same command is given again."""
    draw = random.Random(4)
    resources = {"checkpoint_minutes": 1e-9}
    killed = 0
    for _ in range(10):
        before = long.log("killed").count("\n")
        process = long.start("killed", resources)
        if draw.random() < 0.8:
            long.testbed.wait_for(lambda seen=before: "batch: " in "".join(long.log("killed").splitlines(True)[seen:]))
        else:
            long.testbed.wait_for(lambda: long.testbed.slurm("squeue", "--noheader", "--name=killed", "--states=R"))
        time.sleep(draw.uniform(0, 0.5))
        jobs = long.testbed.slurm("squeue", "--noheader", "--name=killed", "--format=%A").split()
        if jobs:
            everything = ["--full"] if draw.random() < 0.5 else []
            long.testbed.slurm("scancel", "--signal=KILL", *everything, jobs[0])
        _, err = process.communicate(timeout=SECONDS)
        killed += process.returncode != 0
        if process.returncode != 0:
            assert re.search(r"killed 1 \(job \d+_1\) (failed|ended)", err), err
            assert str(long.folder / "killed.txt") in err
    assert killed >= 8
    process = long.start("killed", resources)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert long.log("killed").count("Going on after update") >= 5
    long.check_identical("killed", kills=killed)
