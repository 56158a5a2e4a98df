"""Kaldi's calling convention, the local backend, what jobs ask for, and what the stages consist of."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.common.errors import OptionError, RecipeError
from local.common.recipe import RECIPE_DIR, read_yaml
from local.common.stages import Stage
from local.common.steps import Step
from local.corpora.corpus import variables
from local.jobs import cmd, launch
from local.jobs.backends import Local, local_limit
from local.jobs.resources import Resources, load_cluster_config
from local.jobs.slurm import messages, script, submission
from local.jobs.slurm.script import with_number
from local.pipeline import status, submit
from local.pipeline.options import parse
from local.pipeline.pipeline import Job, JobArray, Pipeline
from local.stages import espnet_commands
from local.stages.decode import shard


def array(*words):
    return cmd.parse_array(words)


def test_without_a_range_there_is_one_task():
    one = array("x.log", "echo", "JOB=1")
    assert (list(one.numbers), one.command) == ([1], ["echo", "JOB=1"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["JOB=1:3", "x.log", "echo"], "needs JOB in its name"),
        (["JOB=0:3", "x.JOB.log", "echo"], "numbers run from 1 on"),
        (["JOB=3:1", "x.JOB.log", "echo"], "numbers run from 1 on"),
        (["JOB=1:3", "x.JOB.log"], "expected .* command"),
        ([], "expected .* command"),
    ],
)
def test_a_wrong_call(words, message):
    with pytest.raises(OptionError, match=message):
        array(*words)


def test_the_local_backend_runs_every_task_and_names_those_that_failed(tmp_path):
    script = "echo the cause of JOB; [ JOB = 2 ] || exit JOB"
    with pytest.raises(RecipeError) as error:
        Local(Resources()).run(array("JOB=1:3", str(tmp_path / "a.JOB.log"), "bash", "-c", script))
    text = str(error.value)
    assert re.search(r"a 1 failed with exit code 1.*\n.*the cause of 1\na 3 failed with exit code 3", text)
    assert "a 2" not in text


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (Resources(), 8),
        (Resources(cpus=3), 2),
        (Resources(cpus=16), 1),
        (Resources(memory="5G"), 4),
        (Resources(memory="100G"), 1),
        (Resources(memory="1G", max_running=3), 3),
    ],
)
def test_the_local_backend_heeds_cores_memory_and_the_limit(resources, expected):
    assert local_limit(resources, cores=8, memory=20 * 2**30) == expected


# A NUL cannot stand in an argument; the shell would not keep a carriage return in a script apart.
WORDS = st.lists(st.text(st.characters(blacklist_characters="\0\r", blacklist_categories=["Cs"]), max_size=12))


@settings(deadline=None)
@given(WORDS)
def test_no_character_of_a_command_is_lost_in_the_batch_script(words):
    quoted = " ".join(with_number(word, "JOB") for word in words)
    script = f"SLURM_ARRAY_TASK_ID=7; printf '%s\\0' x {quoted}"
    shown = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode()
    assert shown.split("\0")[1:-1] == [word.replace("JOB", "7") for word in words]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("defaults: {cpu: 2}", r"train: unknown setting 'cpu': choose from .*cpus"),
        ("kinds: {gpu: {}}", r"kinds: unknown setting 'gpu': choose from cpu, decode, train"),
        ("defaults: {cpus: 0}", r"train: cpus must be a whole number from 1 on"),
        ("defaults: {memory: lots}", r"memory is a number with K, M, G or T"),
        ("kinds: {train: {gpus: 2, processes: 2}}", "processes above 1 are for trainings without GPUs"),
        ("kinds: {train: {time: 24:00:00}}", "time must be text, not 86400: put quotes around it"),
        ("defaults: {sbatch: --exclude=node7}", "sbatch must be a list of texts"),
        ("defaults: {setup: null}", "setup must be a list of texts, not None"),
        ("defaults: {max_running: 0}", "max_running must be a whole number from 1 on"),
        ("kinds: {train: {signal_seconds: soon}}", "signal_seconds must be a whole number"),
        ("kinds: {train: {checkpoint_minutes: -1}}", "checkpoint_minutes must be a number from 0 on"),
        ("environment: PATH", "environment must be a list of names of variables"),
        ("poll_seconds: often", "poll_seconds must be a number"),
        ("queue: x", "unknown setting 'queue'"),
    ],
)
def test_a_wrong_configuration_names_file_and_setting(tmp_path, content, message):
    path = tmp_path / "site.yaml"
    path.write_text(content)
    with pytest.raises(OptionError, match=rf"(?s){re.escape(str(path)) if 'memory' not in content else ''}.*{message}"):
        load_cluster_config(path)


def test_what_sbatch_is_told():
    resources = Resources(
        partition="gpu",
        account="lab",
        time="1:00:00",
        memory="8G",
        cpus=4,
        gpus=2,
        nodes=3,
        max_running=5,
        sbatch=("-v",),
    )
    one = array("JOB=1:9", "a.JOB.log", "true")
    told = script.options(one, resources, kind="train", folder=RECIPE_DIR, environment=["PATH", "HOME"])
    expected = "--array=1-9%5 --partition=gpu --account=lab --time=1:00:00 --mem=8G --cpus-per-task=4 --gres=gpu:2"
    expected += " --nodes=3 --export=PATH,HOME --signal=USR1@120 -v"
    for option in expected.split():
        assert option in told
    assert not any(
        option.startswith("--signal")
        for option in script.options(one, resources, kind="cpu", folder=RECIPE_DIR, environment=[])
    )


POLICY = (
    "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
)


@pytest.mark.parametrize(
    ("complaint", "queue", "helps"),
    [
        (f"AssocMaxSubmitJobLimit\n{POLICY}", "17 debug", True),
        (f"AssocMaxSubmitJobLimit\n{POLICY}", "", False),
        (f"QOSMaxSubmitJobPerUserLimit\n{POLICY}", "", False),
        (f"AssocGrpSubmitJobsLimit\n{POLICY}", "", True),
        (f"QOSMaxWallDurationPerJobLimit\n{POLICY}", "17 debug", False),
        (POLICY, "", True),
        ("Slurm temporarily unable to accept job, sleeping and retrying", "", True),
        ("Batch job submission failed: invalid partition specified: gpu", "17 debug", False),
        ("Batch job submission failed: Invalid qos specification", "17 debug", False),
    ],
)
def test_when_waiting_for_a_place_in_the_queue_helps(monkeypatch, complaint, queue, helps):
    """A limit of one's own with nothing of one's own in the queue: the array alone is above it."""
    monkeypatch.setattr(messages, "slurm", lambda *command: subprocess.CompletedProcess(command, 0, queue, ""))
    assert messages.waiting_helps("\n".join(f"sbatch: error: {line}" for line in complaint.splitlines())) == helps


@pytest.mark.parametrize("said", [None, b"sbatch: 17 of your 20 hours are left"])
def test_an_sbatch_that_hangs_is_started_again(monkeypatch, tmp_path, capsys, said):
    """Whatever it said before it did: no real Slurm can be asked to hang."""
    answers = [subprocess.TimeoutExpired("sbatch", 30, stderr=said), subprocess.CompletedProcess("", 0, "77\n", "")]

    def sbatch(*_, seconds):
        answer = answers.pop(0)
        if isinstance(answer, subprocess.TimeoutExpired):
            raise answer
        return answer

    monkeypatch.setattr(submission, "sbatch", sbatch)
    config = dataclasses.replace(load_cluster_config(), poll_seconds=0)
    one = array(str(tmp_path / "a.log"), "true")
    assert submission.submit(one, Resources(), kind="cpu", config=config).job == "77"
    assert "Slurm does not answer, waiting for it: sbatch did not answer" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_submits_it_cancels_what_was_submitted(tmp_path, number):
    """A Slurm whose sbatch is slow to answer: no real one can be asked to be at this very moment."""
    sbatch, scancel = tmp_path / "sbatch", tmp_path / "scancel"
    sbatch.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nsleep 1\necho 77\n")
    scancel.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/cancelled\n')
    for program in (sbatch, scancel):
        program.chmod(0o755)
    command = [sys.executable, "-m", "local.jobs.cmd", "--backend", "slurm", f"{tmp_path}/a.log", "true"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    # Tests that a shell runs in the background ignore SIGINT, and so would what they start.
    options["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=RECIPE_DIR, env=environment, **options) as process:
        while not (tmp_path / "asked").exists():
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, number)
        try:
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    interrupted = "cmd.py: interrupted; the same command goes on where it stopped\n"
    assert err == "cancelling job 77\n" + (interrupted if number == signal.SIGINT else "")
    assert (tmp_path / "cancelled").read_text() == "77\n"


def pipeline(tmp_path, *more):
    folders = [x for d in ("downloads", "datadir", "dumpdir", "expdir") for x in (f"--{d}", str(tmp_path / d))]
    return Pipeline(parse(["--preset", "smoke", *folders, *more]))


def test_independent_work_is_one_array(tmp_path):
    made = pipeline(tmp_path, "--seeds", "0 1", "--objectives", "si_snr ssl_mse", "--nj", "3")
    jobs = {array.name: [job.name for job in array.jobs_in(made)] for array in made.arrays()}
    names = "corpora dump data ssl train joint decode transcripts score report"
    assert " ".join(jobs) == names
    assert jobs["train"] == ["se", "asr"]
    assert jobs["joint"] == [f"{name}_joint_seed{seed}" for name in ("si_snr", "ssl_mse") for seed in (0, 1)]
    assert len(jobs["decode"]) == 3
    assert len(jobs["dump"]) > 3


def test_every_stage_has_jobs_of_its_kind(tmp_path):
    made = pipeline(tmp_path, "--stop_stage", str(max(Stage)))
    kinds = {stage: {array.kind for array in made.arrays() if stage in array.stages} for stage in Stage}
    assert all(stage.kind in kinds[stage] for stage in Stage)


@pytest.mark.parametrize(
    ("first", "last", "names"), [(3, 3, ["se"]), (4, 5, ["asr", "si_snr_joint_seed0"]), (7, 7, ["score"])]
)
def test_only_the_stages_asked_for(tmp_path, first, last, names):
    made = pipeline(tmp_path, "--stage", str(first), "--stop_stage", str(last), "--objectives", "si_snr")
    assert [job.name for array in made.arrays() for job in array.jobs_in(made)] == names


@pytest.mark.parametrize("count", [1, 4, 30])
def test_every_pair_of_a_system_and_a_set_is_in_one_shard(tmp_path, count):
    steps = pipeline(tmp_path, "--objectives", "si_snr").experiment
    pairs = [pair for number in range(1, count + 1) for pair in shard(steps, number, count)]
    assert sorted(map(str, pairs)) == sorted(map(str, steps.pairs))
    assert len(pairs) == 4 * 5


def test_each_step_is_built_once_and_each_configuration_read_once_per_run(tmp_path, monkeypatch):
    made, read = pipeline(tmp_path, "--seeds", "0 1 2"), []
    monkeypatch.setattr(espnet_commands, "read_yaml", lambda path: read.append(path.name) or read_yaml(path))
    for array in made.arrays():
        array.jobs_in(made)
    steps = made.experiment
    first = [steps.recognize(*pair) for pair in steps.pairs]
    assert all(step is steps.recognize(*pair) for step, pair in zip(first, steps.pairs, strict=True))
    assert read.count("decode_asr.yaml") == 1
    # Once for stage 4, once for all runs of stage 5.
    assert read.count("train_asr.yaml") == 2
    assert read.count("train_joint.yaml") == len(steps.runs)


def test_jobs_know_where_the_site_keeps_its_corpora(tmp_path, monkeypatch):
    """Whatever conf/slurm.yaml or a site's own program passes on."""
    monkeypatch.setenv("LIBRISPEECH", "/site/Libri Speech")
    look = JobArray("look", (Stage.CORPORA,), lambda _: [])
    monkeypatch.setattr(JobArray, "command", lambda self, job, options: ["printenv", "LIBRISPEECH"])
    shown = Job("shown", Stage.CORPORA, lambda: None, lambda: False)
    commands = submit.command_array(pipeline(tmp_path), look, [shown], shards=1)
    monkeypatch.delenv("LIBRISPEECH")
    command = [word.replace(commands.variable, "1") for word in commands.command]
    printed = subprocess.run(command, cwd=RECIPE_DIR, capture_output=True, text=True, check=True).stdout
    assert printed == "/site/Libri Speech\n"


def test_a_job_of_an_array_is_done_by_its_command(tmp_path):
    made = pipeline(tmp_path, "--stage", "3", "--stop_stage", "3")
    (array,) = made.arrays()
    (job,) = array.jobs_in(made)
    result = subprocess.run(array.command(job, made.invocation.words()), cwd=RECIPE_DIR, capture_output=True, text=True)
    assert result.returncode == 2
    assert "stage 2 makes it" in result.stderr


def test_a_job_that_there_is_not(tmp_path):
    command = [sys.executable, "-m", "local.pipeline.job", "train", "pr", *pipeline(tmp_path).invocation.words()]
    result = subprocess.run(command, cwd=RECIPE_DIR, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (2, "job.py: error: there is no job 'pr' in an array 'train'\n")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python3 -m local.jobs.cmd --backend slurm --kind train --time 5", ("train", 3, "5")),
        ("python3 -m local.jobs.cmd --backend slurm --kind train --time 5 --gpu 1", ("train", 1, "5")),
    ],
)
def test_what_cmd_sh_says_holds_whether_one_waits_or_not(command, expected):
    backend = cmd.backend_of(command, gpus=3)
    assert (backend.kind, backend.resources.gpus, backend.resources.time) == expected


def test_every_variable_of_db_sh_reaches_the_jobs():
    named = re.findall(r"^export (\w+)=", (RECIPE_DIR / "db.sh").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(variables())


def test_status_before_anything_was_done(tmp_path):
    assert {row[3] for row in status.rows(pipeline(tmp_path, "--objectives", "si_snr"))} == {"waiting"}


def test_one_process_here_is_started_as_ever(monkeypatch, tmp_path):
    for name in ("TRAINING_LAUNCHER", "LOCAL_SCRATCH", "CHECKPOINT_MINUTES", "TRAINING_NODES", "TRAINING_PROCESSES"):
        monkeypatch.delenv(name, raising=False)
    assert launch.training_prefix("enh_train", 0) == [sys.executable, "-m", "espnet_plugins.bin.enh_train"]
    assert launch.distribution_options({}, ngpu=0, out=tmp_path) == []
    assert launch.distribution_options({}, ngpu=1, out=tmp_path) == []


def test_an_epoch_of_chunks_is_shared_by_the_ranks(monkeypatch, tmp_path):
    monkeypatch.setenv("TRAINING_NODES", "2")
    chunks = {"iterator_type": "chunk", "batch_size": 8, "num_iters_per_epoch": 150}
    options = launch.distribution_options(chunks, ngpu=2, out=tmp_path)
    assert options[options.index("--num_iters_per_epoch") + 1] == "37"
    assert options[options.index("--dist_launcher") + 1] == "slurm"
    assert options[options.index("--dist_backend") + 1] == "nccl"
    with pytest.raises(OptionError, match="batch_size 3 cannot be shared among 4 ranks"):
        launch.distribution_options({**chunks, "batch_size": 3}, ngpu=2, out=tmp_path)


def test_told_to_stop_before_there_is_anything_to_save_it_asks_for_another_start(tmp_path):
    script = (
        "import sys, time, types; sys.modules['espnet_plugins.bin.slow'] = types.SimpleNamespace();"
        "from local.jobs import launch; import importlib;"
        "importlib.import_module = lambda name: print('up', flush=True) or time.sleep(60);"
        "sys.argv = ['launch', 'slow']; launch.main()"
    )
    path = os.pathsep.join(map(str, [RECIPE_DIR, RECIPE_DIR.parents[1]]))
    process = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGUSR1)
    assert process.wait(30) == 75


def test_more_epochs_continue_a_step_and_fewer_start_it_anew(tmp_path):
    def step(epochs, rate=1):
        settings = {"config": {"max_epoch": epochs, "lr": rate}}
        return Step(
            "t", stage=3, out=tmp_path / "t", settings=settings, outputs=("model",), extends=("config.max_epoch",)
        )

    runs = []

    def train():
        runs.append((tmp_path / "t" / "model").exists())
        (tmp_path / "t" / "model").write_text("x")

    for epochs, rate in ((2, 1), (4, 1), (3, 1), (5, 2)):
        step(epochs, rate).run(train)
    assert runs == [False, True, False, False]
    assert step(5, 2).is_done()


def test_scratch_copies_each_archive_once_and_gives_the_same_audio(tmp_path):
    import kaldiio
    import numpy as np

    from local.jobs.scratch import stage, stage_options

    scp, ark = tmp_path / "wav.scp", tmp_path / "wav.ark"
    signals = {f"utt{k}": np.random.default_rng(k).standard_normal(100).astype(np.float32) for k in range(3)}
    kaldiio.save_ark(str(ark), signals, scp=str(scp))
    scratch = tmp_path / "node disk"
    copied = stage(scp, scratch)
    assert str(scratch) in copied.read_text()
    for utt, signal_ in kaldiio.load_scp(str(copied)).items():
        np.testing.assert_array_equal(signal_, signals[utt])
    (first,) = scratch.glob("*.ark")
    written = first.stat().st_mtime_ns
    stage(scp, scratch)
    assert [path.stat().st_mtime_ns for path in scratch.glob("*.ark")] == [written]
    options = ["--train_data_path_and_name_and_type", f"{scp},speech,kaldi_ark", "--other", f"{scp},speech,text"]
    staged = stage_options(options, scratch)
    assert staged[1].startswith(str(scratch))
    assert staged[1].endswith(",speech,kaldi_ark")
    assert staged[2:] == options[2:]


def test_scratch_without_room_reads_where_the_audio_is(tmp_path, small_disk, capsys):
    from local.jobs.scratch import stage

    (tmp_path / "wav.ark").write_bytes(bytes(2**20))
    (tmp_path / "wav.scp").write_text(f"utt1 {tmp_path}/wav.ark:5\n")
    assert stage(tmp_path / "wav.scp", small_disk / "here") == tmp_path / "wav.scp"
    assert "read where it is" in capsys.readouterr().out


def test_a_job_that_saved_when_told_to_stop_says_so(tmp_path):
    from local.jobs.processes import Program, StoppedToContinue, run_programs

    with pytest.raises(StoppedToContinue, match="training was told to stop and has saved") as error:
        run_programs([Program("training", ["sh", "-c", "exit 75"], tmp_path / "train.log")], nj=1)
    assert error.value.exit_code == 75
