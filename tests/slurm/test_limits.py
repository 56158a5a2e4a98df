"""A Slurm with accounting: limits on jobs in the queue; the recipe says what is wrong and goes on when it is mended."""

import re

import pytest
from slurm_testbed import SECONDS, folders, start_testbed, write_small_config

pytestmark = [pytest.mark.recipe, pytest.mark.slurm]


@pytest.fixture(scope="module")
def limited():
    """One node; two tasks of ours may be in the queue."""
    bed = start_testbed("--max_submit", "2")
    yield bed
    bed.control("stop")
    assert not bed.root.exists()


@pytest.fixture
def full(limited):
    """Two jobs that wait for ever; give a function that cancels them."""

    def cancel():
        limited.slurm("scancel", "--name=other")
        limited.wait_for(lambda: limited.slurm("squeue", "--noheader", "--name=other") == "")

    limited.slurm("sbatch", "--array=1-2", "--job-name=other", "--hold", "--output=/dev/null", "--wrap=sleep 9")
    assert limited.slurm("squeue", "--noheader", "--name=other", "--array").count("\n") == 2
    yield cancel
    cancel()


def impatient(path, **changes):
    """A configuration that does not wait for a place in the queue."""
    config = write_small_config(path, **changes)
    config.write_text(config.read_text().replace("patience_minutes: 1", "patience_minutes: 0"))
    return config


def test_a_full_queue_is_named(limited, full, tmp_path):
    code, _, err = limited.cmd(f"{tmp_path}/a.txt", "true", config=impatient(tmp_path / "slurm.yaml"))
    assert code == 1
    assert re.search(r"Slurm did not take a \(.*/q/a\.sh\)(.|\n)*AssocMaxSubmitJobLimit(.|\n)*The queue is full", err)


def test_with_patience_it_waits_for_a_place(limited, full, tmp_path):
    config = write_small_config(tmp_path / "slurm.yaml")
    process = limited.start("local.jobs.cmd", "--backend", "slurm", f"{tmp_path}/a.txt", "echo", "here", config=config)
    line = process.stdout.readline()
    assert "a: the queue takes no more jobs, waiting for a place" in line
    full()
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert "here\n" in (tmp_path / "a.txt").read_text()


def test_an_array_above_the_limit_does_not_wait(limited, tmp_path):
    config = write_small_config(tmp_path / "slurm.yaml")
    code, out, err = limited.cmd("JOB=1:3", f"{tmp_path}/a.JOB.txt", "true", config=config)
    assert code == 1
    assert "waiting for a place" not in out
    assert "Its 3 tasks are more than you may have in the queue (AssocMaxSubmitJobLimit)" in err


def test_a_chain_that_does_not_fit_leaves_nothing_in_the_queue(limited, tmp_path):
    options = ["--preset", "smoke", *folders(tmp_path), "--detach"]
    code, out, err = limited.recipe(*options, config=impatient(tmp_path / "slurm.yaml"))
    assert code == 1
    (job,) = re.findall(r"corpora: 1 tasks, job (\d+)", out)
    assert f"cancelling job {job}" in err
    assert re.search(r"Slurm did not take dump(.|\n)*The queue is full for you", err)
    limited.wait_for(lambda: limited.slurm("squeue", "--noheader") == "")


def test_a_job_above_a_limit_of_the_user_does_not_wait_for_ever(limited, tmp_path):
    limited.slurm("sacctmgr", "--immediate", "modify", "user", "root", "set", "MaxWall=5")
    try:
        code, _, err = limited.cmd(f"{tmp_path}/a.txt", "true", config=write_small_config(tmp_path / "slurm.yaml"))
    finally:
        limited.slurm("sacctmgr", "--immediate", "modify", "user", "root", "set", "MaxWall=-1")
    assert code == 1
    assert re.search(r"a 1 \(job \d+_1\) cannot start \(AssocMaxWallDurationPerJobLimit\); see conf/slurm.yaml", err)


def test_accounting_knows_an_array_as_an_array(limited, tmp_path):
    config = write_small_config(tmp_path / "slurm.yaml")
    code, _, err = limited.cmd("JOB=1:2", f"{tmp_path}/known.JOB.txt", "true", config=config)
    assert code == 0, err

    def accounted():
        table = limited.slurm("sacct", "-X", "--noheader", "--parsable2", "--name=known", "--format=JobID,State")
        return re.fullmatch(r"(\d+)_1\|COMPLETED\n\1_2\|COMPLETED\n", table)

    limited.wait_for(accounted)


def test_the_recipe_says_what_is_wrong_and_goes_on_when_it_is_mended(limited, full, tmp_path):
    """Stage 1 through a queue that is full, a partition that is not there, too little memory, a node that dies."""
    stage = ["--preset", "smoke", *folders(tmp_path), "--stop_stage", "1"]
    log = tmp_path / "expdir" / "jobs" / "corpora.1.log"
    done = "corpora: done"

    def run(config):
        code, out, err = limited.recipe(*stage, config=config)
        assert (code == 0) == (done in out), out + err
        if code != 0:
            assert "corpora failed; run the same command again when the cause is gone" in err
        return code, err

    code, err = run(impatient(tmp_path / "full.yaml"))
    assert code == 1
    assert re.search(r"Slurm did not take corpora \(.*/q/corpora\.sh\)(.|\n)*The queue is full for you", err)
    full()

    code, err = run(write_small_config(tmp_path / "partition.yaml", partition="nowhere"))
    assert code == 1
    assert "partition 'nowhere' in conf/slurm.yaml: choose from debug" in err

    code, err = run(write_small_config(tmp_path / "memory.yaml", memory="20M"))
    assert code == 1
    assert re.search(r"corpora \(job \d+_1\) .*raise `memory` in conf/slurm.yaml", err), err
    assert str(log) in err

    log.unlink()
    dying = write_small_config(tmp_path / "dying.yaml", memory="2G", sbatch=["--no-requeue"])
    process = limited.start_recipe(*stage, config=dying)
    limited.wait_for(lambda: log.exists() and "# job" in log.read_text())
    limited.control("stop_node", "1")
    try:
        _, err = process.communicate(timeout=SECONDS)
    finally:
        limited.control("start_node", "1")
    assert process.returncode == 1
    assert re.search(r"corpora \(job \d+_1\) ended as NODE_FAIL on node1\. Its node failed", err), err
    assert str(log) in err

    code, err = run(write_small_config(tmp_path / "good.yaml", memory="2G"))
    assert code == 0, err
