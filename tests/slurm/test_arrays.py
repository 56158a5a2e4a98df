"""Kaldi's calling convention on a real Slurm: arrays, failures that are named, jobs that go when the caller goes."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from places import RECIPE, ROOT
from slurm_testbed import SECONDS, start_testbed, write_small_config

pytestmark = [pytest.mark.recipe, pytest.mark.slurm]


def test_an_array_is_one_job_and_paths_may_have_blanks(testbed, config, tmp_path):
    folder = tmp_path / "with a blank"
    script = 'env | grep SLURM_ARRAY_JOB; echo "it\'s ITEM"'
    code, _, err = testbed.cmd("ITEM=2:4", f"{folder}/log.ITEM.txt", "bash", "-c", script, config=config)
    assert code == 0, err
    logs = [(folder / f"log.{task}.txt").read_text() for task in (2, 3, 4)]
    assert all(f"it's {task}\n" in text for task, text in zip((2, 3, 4), logs, strict=True))
    ids = {re.search(r"^SLURM_ARRAY_JOB_ID=(\d+)$", text, re.MULTILINE)[1] for text in logs}
    assert len(ids) == 1
    records = testbed.slurm("scontrol", "show", "job", ids.pop())
    assert sorted(re.findall(r"ArrayTaskId=(\d+)", records)) == ["2", "3", "4"]


def test_a_task_that_fails_is_named_with_its_log_and_the_others_finish(testbed, config, tmp_path):
    script = "echo the cause; sleep 1; [ JOB != 2 ] || exit 7; touch $0.JOB"
    code, _, err = testbed.cmd(
        "JOB=1:3", f"{tmp_path}/a.JOB.txt", "bash", "-c", script, f"{tmp_path}/ran", config=config
    )
    assert code == 1
    assert re.search(
        r"a 2 \(job \d+_2\) failed with exit code 7\n\s+The last lines of .*a\.2\.txt:(.|\n)*the cause", err
    )
    assert "a 1" not in err
    assert sorted(path.name for path in tmp_path.glob("ran.*")) == ["ran.1", "ran.3"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_the_caller_cancels_the_jobs(testbed, config, tmp_path, number):
    words = ["--backend", "slurm", "JOB=1:2", f"{tmp_path}/sleep.JOB.txt", "sleep", "300"]
    process = testbed.start("local.jobs.cmd", *words, config=config)
    testbed.wait_for(lambda: "RUNNING" in testbed.slurm("squeue", "--noheader", "--name=sleep", "--format=%T"))
    process.send_signal(number)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number
    interrupted = r"\S+: interrupted; .*\n" if number == signal.SIGINT else ""
    assert re.fullmatch(r"cancelling job \d+\n" + interrupted, err)
    testbed.wait_for(lambda: testbed.slurm("squeue", "--noheader", "--name=sleep") == "")


def test_no_more_than_max_jobs_run_at_once(testbed, config, tmp_path):
    script = "touch $0/JOB; sleep 1; ls $0 | wc -l; rm $0/JOB"
    (tmp_path / "alive").mkdir()
    code, _, err = testbed.cmd(
        "--max_jobs_run", "1", "JOB=1:3", f"{tmp_path}/a.JOB.txt", "bash", "-c", script, f"{tmp_path}/alive",
        config=config,
    )  # fmt: skip
    assert code == 0, err
    assert [(tmp_path / f"a.{k}.txt").read_text().splitlines()[1] for k in (1, 2, 3)] == ["1", "1", "1"]


def test_a_task_that_asks_to_be_queued_again_is_the_same_job(testbed, config, tmp_path):
    script = "echo run $SLURM_JOB_ID; [ -e $0 ] && exit 0; touch $0; exit 75"
    code, _, err = testbed.cmd("N=1", f"{tmp_path}/a.txt", "bash", "-c", script, f"{tmp_path}/seen", config=config)
    assert code == 0, err
    runs = re.findall(r"^run (\d+)", (tmp_path / "a.txt").read_text(), re.MULTILINE)
    assert len(runs) == 2
    assert len(set(runs)) == 1


def test_only_the_listed_variables_are_passed_on(testbed, config, tmp_path, monkeypatch):
    testbed.environment["NOT_LISTED"], testbed.environment["HF_HOME"] = "secret", "/somewhere"
    code, _, err = testbed.cmd(f"{tmp_path}/a.txt", "bash", "-c", "echo [$HF_HOME] [${NOT_LISTED:-}]", config=config)
    assert code == 0, err
    assert "[/somewhere] []" in (tmp_path / "a.txt").read_text()


def test_an_unknown_partition_names_the_known_ones(testbed, tmp_path):
    config = write_small_config(tmp_path / "slurm.yaml", partition="gpu-large")
    code, _, err = testbed.cmd(f"{tmp_path}/a.txt", "true", config=config)
    assert code == 1
    assert "partition 'gpu-large' in conf/slurm.yaml: choose from debug" in err


def test_a_task_over_its_memory(testbed, tmp_path):
    hog = "x = bytearray(400_000_000)\nimport time\nfor k in range(0, len(x), 4096): x[k] = 1\ntime.sleep(60)"
    config = write_small_config(tmp_path / "slurm.yaml", memory="60M")
    code, _, err = testbed.cmd(f"{tmp_path}/a.txt", "python3", "-c", hog, config=config)
    assert code == 1
    assert re.search(r"a 1 \(job \d+_1\) .*OUT_OF_MEMORY.*raise `memory` in conf/slurm.yaml", err), err
    assert f"{tmp_path}/a.txt" in err


def test_a_training_over_its_memory(testbed, tmp_path):
    """It is a step of its own: Slurm's word on it stands in the log."""
    hog = "x = bytearray(400_000_000)\nimport time\nfor k in range(0, len(x), 4096): x[k] = 1\ntime.sleep(60)"
    (tmp_path / "hog.py").write_text(hog)
    config = write_small_config(tmp_path / "slurm.yaml", memory="60M")
    script = f"$TRAINING_LAUNCHER python3 {tmp_path}/hog.py"
    code, _, err = testbed.cmd(f"{tmp_path}/a.txt", "bash", "-c", script, config=config, kind="train")
    assert code == 1
    assert re.search(r"a 1 \(job \d+_1\) .*raise `memory` in conf/slurm.yaml", err), err


def test_a_training_is_warned_before_its_time_is_over_and_queued_again(testbed, tmp_path):
    config = write_small_config(tmp_path / "slurm.yaml", time="1", signal_seconds=50)
    script = f"trap 'exit 75' USR1; [ ! -e {tmp_path}/seen ] || exit 0; touch {tmp_path}/seen; sleep 300 & wait"
    (tmp_path / "script.sh").write_text(script)
    words = ["bash", "-c", f"$TRAINING_LAUNCHER bash {tmp_path}/script.sh"]
    code, _, err = testbed.cmd(f"{tmp_path}/a.txt", *words, config=config, kind="train")
    assert code == 0, err
    assert re.search(
        r"ended with code 75, .*\n# queued again\n# job (.|\n)*ended with code 0", (tmp_path / "a.txt").read_text()
    )


def test_jobs_are_submitted_from_within_a_job(testbed, tmp_path):
    """What the outer one has got does not get in the way of what the inner one asks for."""
    config = write_small_config(tmp_path / "slurm.yaml")
    outer = ["sbatch", "--wait", "--mem-per-cpu=90M", "--ntasks=2", f"--output={tmp_path}/outer.txt", "--wrap"]
    words = ["--backend", "slurm", "--kind", "train", f"{tmp_path}/inner.txt"]
    command = [sys.executable, "-m", "local.jobs.cmd", *words, "bash", "-c", "$TRAINING_LAUNCHER printenv SLURM_NTASKS"]
    variables = {"PYTHONPATH": f"{RECIPE}{os.pathsep}{ROOT}", "CLUSTER_CONFIG": str(config)}
    environment = {**testbed.environment, **variables}
    result = subprocess.run([*outer, shlex.join(command)], env=environment, timeout=SECONDS)
    assert result.returncode == 0, (tmp_path / "outer.txt").read_text()
    assert "\n1\n" in (tmp_path / "inner.txt").read_text()


def test_a_task_over_its_time(testbed, tmp_path):
    config = write_small_config(tmp_path / "slurm.yaml", sbatch=["--deadline=now+4seconds", "--time=0:01"])
    code, _, err = testbed.cmd(f"{tmp_path}/a.txt", "sleep", "60", config=config)
    assert code == 1
    assert re.search(r"a 1 \(job \d+_1\) ended as (DEADLINE|TIMEOUT)", err), err


def test_a_dying_node_is_named_and_the_work_goes_on_elsewhere(testbed, tmp_path):
    config = write_small_config(tmp_path / "slurm.yaml")
    script = "echo on $SLURMD_NODENAME; [ $SLURMD_NODENAME = node2 ] || sleep 300"
    words = ["--backend", "slurm", f"{tmp_path}/again.txt", "bash", "-c", script]
    once = write_small_config(tmp_path / "once.yaml", sbatch=["--no-requeue", "--nodelist=node1"])
    final = ["--backend", "slurm", f"{tmp_path}/once.txt", "bash", "-c", "echo started; sleep 300"]
    processes = [
        testbed.start("local.jobs.cmd", *words, config=config),
        testbed.start("local.jobs.cmd", *final, config=once),
    ]
    testbed.wait_for(lambda: all((tmp_path / name).exists() for name in ("again.txt", "once.txt")))
    testbed.control("stop_node", "1")
    try:
        outputs = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        testbed.control("start_node", "1")
    assert [process.returncode for process in processes] == [0, 1], outputs
    assert (tmp_path / "again.txt").read_text().count("on node") >= 1
    assert "on node2" in (tmp_path / "again.txt").read_text()
    assert re.search(r"once 1 \(job \d+_1\) ended as NODE_FAIL.*Its node failed", outputs[1][1]), outputs[1][1]
    assert f"{tmp_path}/once.txt" in outputs[1][1]
    testbed.wait_for(lambda: testbed.slurm("sinfo", "--noheader", "--Node", "--format=%T").count("idle") == 2)


def test_a_full_queue_is_named(tmp_path):
    bed = start_testbed("--max_jobs", "4")
    try:
        config = write_small_config(tmp_path / "slurm.yaml")
        first = bed.start(
            "local.jobs.cmd",
            "--backend",
            "slurm",
            "JOB=1:2",
            f"{tmp_path}/first.JOB.txt",
            "sleep",
            "300",
            config=config,
        )
        bed.wait_for(lambda: bed.slurm("squeue", "--noheader", "--array", "--name=first").count("\n") == 2)
        impatient = tmp_path / "impatient.yaml"
        impatient.write_text(config.read_text().replace("patience_minutes: 1", "patience_minutes: 0"))
        code, _, err = bed.cmd("JOB=1:3", f"{tmp_path}/second.JOB.txt", "true", config=impatient)
        assert code == 1
        assert "The queue is full for you" in err
        assert "second.sh" in err
        first.terminate()
        first.communicate(timeout=SECONDS)
    finally:
        bed.control("stop")
    assert not bed.root.exists()


def test_stop_leaves_nothing_running(tmp_path):
    """No daemon, and no task either: one that does not want to end, and whose node's daemon is gone."""
    bed = start_testbed()
    try:
        script = f"trap '' TERM; sleep 4321 & echo $! > {tmp_path}/pid; wait; wait"
        bed.slurm("sbatch", "--output=/dev/null", "--wrap", script)
        bed.wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        bed.control("stop_node", "1")
    finally:
        bed.control("stop")
    assert not bed.root.exists()
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    alive = subprocess.run(["pgrep", "-af", f"{bed.root}|slurmstepd: "], capture_output=True, text=True).stdout
    assert alive == ""
