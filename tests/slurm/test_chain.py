"""run.sh with the whole recipe in the queue: submitted as a chain, looked at, failed, interrupted."""

import os
import re
import signal

import pytest
from slurm_testbed import SECONDS, folders, write_small_config

pytestmark = [pytest.mark.recipe, pytest.mark.slurm]
PHASES = ["corpora", "dump", "data", "ssl", "train", "joint", "decode", "transcripts", "score", "report"]


@pytest.fixture
def closed(testbed):
    """Jobs are taken, but none starts; give a function that opens the partition."""

    def turn(state):
        testbed.slurm("scontrol", "update", "PartitionName=debug", f"State={state}")

    turn("DOWN")
    yield lambda: turn("UP")
    testbed.slurm("scancel", "--user=root")
    turn("UP")


@pytest.fixture
def options(tmp_path):
    """Of a run that has not begun."""
    return ["--preset", "smoke", "--objectives", "si_snr ssl_mse", *folders(tmp_path)]


def states(table):
    """Part -> (its job, its state), from what --status prints."""
    rows = [re.split(r"  +", line) for line in table.splitlines() if re.match(r"\d(\+\d)? ", line)]
    return {row[1]: (row[2], row[3]) for row in rows}


def test_a_chain_is_shown_and_when_a_part_fails_the_rest_is_cancelled(testbed, closed, options, tmp_path):
    config = write_small_config(tmp_path / "slurm.yaml", memory="20M")
    code, out, err = testbed.recipe(*options, "--detach", config=config)
    assert code == 0, err
    submitted = dict(re.findall(r"\] (\w+): \d+ jobs, submitted as (\d+)", out))
    assert list(submitted) == PHASES
    waits = dict(re.findall(r"(\d+) afterok:(\d+)_\*", testbed.slurm("squeue", "--noheader", "--format=%A %E")))
    jobs = list(submitted.values())
    assert waits == dict(zip(jobs[1:], jobs[:-1], strict=True))

    code, out, err = testbed.recipe(*options, "--status", config=config)
    assert code == 0, err
    shown = states(out)
    assert shown["si_snr_joint_seed0"] == (f"{submitted['joint']}_1", "pending")
    assert shown["ssl_mse_joint_seed0"] == (f"{submitted['joint']}_2", "pending")
    assert len(shown) > len(PHASES)

    for more in (["--detach"], []):
        code, _, err = testbed.recipe(*options, *more, config=config)
        assert code == 1
        assert f"corpora of this run is in the queue already, as job {submitted['corpora']}" in err

    closed()
    testbed.wait_for(lambda: testbed.slurm("squeue", "--noheader") == "")
    code, out, err = testbed.recipe(*options, "--status", config=config)
    assert code == 0, err
    assert re.match(r"failed|out_of_memory|cancelled", states(out)["corpora"][1])
    assert {state for name, (_, state) in states(out).items() if name != "corpora"} == {"cancelled"}


@pytest.mark.parametrize("keyboard", [True, False])
def test_interrupting_the_recipe_cancels_its_jobs(testbed, closed, options, tmp_path, keyboard):
    """Ctrl-C reaches every process of the terminal, a SIGTERM run.sh alone."""
    config = write_small_config(tmp_path / "slurm.yaml")
    process = testbed.start_recipe(*options, config=config)
    testbed.wait_for(lambda: testbed.slurm("squeue", "--noheader", "--name=corpora") != "")
    if keyboard:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + (signal.SIGINT if keyboard else signal.SIGTERM)
    interrupted = r"\S+: interrupted; .*\n" if keyboard else ""
    assert re.fullmatch(r"cancelling job \d+\n" + interrupted, err)
    testbed.wait_for(lambda: testbed.slurm("squeue", "--noheader", "--name=corpora") == "")
