"""Job arrays on Slurm: the batch script, submission, states, cancelling. Slurm's own programs do the work."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from local.common.steps import RecipeError, atomic_path, log
from local.jobs.processes import REQUEUE
from local.jobs.resources import ClusterConfig, Resources

# While Slurm says one of these, a task may still end well.
ACTIVE = frozenset(
    ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "SIGNALING", "STOPPED")
)
# What sbatch says of a limit on jobs in the queue; without accounting the limit is not named.
_BUSY = re.compile(r"job submit limit|temporarily unable to accept job|Resource temporarily|MaxJobCount", re.IGNORECASE)
_SILENT = re.compile(r"Socket timed out|Unable to contact slurm controller|did not answer", re.IGNORECASE)
# The name of a limit of accounting: AssocMaxSubmitJobLimit, QOSMaxWallDurationPerJobLimit, ...
_LIMIT = re.compile(r"\b(?:Assoc|QOS)[A-Z]\w+")
# How long sbatch may take; when the queue is full it waits by itself.
_LEAST_SUBMIT_SECONDS, _MOST_SUBMIT_SECONDS = 10, 30
# How long an interrupted submission may take to give the number of what it has submitted.
_LAST_SECONDS = 5
_LOOK_SECONDS = 0.2
# Variables of Slurm's that are not those of one job.
_OF_THE_SITE = ("SLURM_CONF", "SLURM_CLUSTERS")


@dataclasses.dataclass(frozen=True)
class Array:
    """Tasks 1..n of one command.

    Args:
        name: What the job is called in the queue.
        first: The first task's number.
        last: The last task's number.
        variable: The word that stands for the number in the log's name and the command.
        log: The log of each task.
        command: The program and its arguments.
        names: What the tasks are called in messages; default: their numbers.
    """

    name: str
    first: int
    last: int
    variable: str
    log: str
    command: Sequence[str]
    names: Sequence[str] = ()

    @property
    def tasks(self) -> range:
        """The numbers of the tasks."""
        return range(self.first, self.last + 1)

    def title(self, task: int) -> str:
        """What a task is called in messages."""
        return self.names[task - self.first] if self.names else f"{self.name} {task}"

    def log_of(self, task: int) -> Path:
        """Where a task's output goes."""
        return Path(self.log.replace(self.variable, str(task)))


@dataclasses.dataclass(frozen=True)
class Submission:
    """An array that Slurm has accepted.

    Args:
        job: Slurm's number.
        array: What was submitted.
        folder: Where scripts, Slurm's own messages and the tasks' exit codes lie.
    """

    job: str
    array: Array
    folder: Path

    def exit_code(self, task: int) -> int | None:
        """The exit code that a task left; None while it has not ended by itself."""
        path = self.folder / f"{self.array.name}.{self.job}_{task}.code"
        try:
            return int(path.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def messages(self, task: int) -> Path:
        """What Slurm itself had to say about a task."""
        return self.folder / f"{self.array.name}.{self.job}_{task}.out"


def slurm(*command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's programs.

    Raises:
        RecipeError: When it is not installed here.
    """
    with _installed(command[0]):
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@contextmanager
def _installed(program: str):
    try:
        yield
    except FileNotFoundError:
        raise RecipeError(
            f"'{program}' is not installed here: --cmd_backend slurm runs where jobs are submitted. "
            "tools/slurm_testbed.sh sets up a Slurm of one machine to try"
        ) from None


def _sbatch(*words: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run sbatch; when this process is told to end meanwhile, cancel what it was submitting.

    Raises:
        subprocess.TimeoutExpired: When Slurm does not answer.
    """
    command = ["sbatch", "--parsable", *words]
    # Inside a job, too: what it has got is not what the new one asks for.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name in _OF_THE_SITE
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with _held_signals() as told, _installed("sbatch"):
        # Ctrl-C would end it with the number of the job unsaid.
        with subprocess.Popen(command, **pipes, text=True, env=environment, start_new_session=True) as process:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    out, err = process.communicate(timeout=_LOOK_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if told:
                        deadline = min(deadline, time.monotonic() + _LAST_SECONDS)
                    if time.monotonic() > deadline:
                        process.kill()
                        raise
        if told and process.returncode == 0:
            cancel(_number(out))
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@contextmanager
def _held_signals():
    """Hold Ctrl-C and requests to end back; give the list of them. They take effect behind the block."""
    told: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: told.append(number)) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if told:
            signal.raise_signal(told[0])


def _number(answer: str) -> str:
    """The number of the job; on a site of several clusters that of the cluster stands behind it."""
    return answer.strip().split(";")[0]


def _with_number(word: str, variable: str) -> str:
    """Quote a word for the shell, with the task's number where `variable` stands."""
    return '"${SLURM_ARRAY_TASK_ID}"'.join(shlex.quote(part) if part else "" for part in word.split(variable)) or "''"


def options(array: Array, resources: Resources, *, kind: str, folder: Path, environment: Sequence[str]) -> list[str]:
    """What sbatch is told about an array.

    Args:
        array: What to run.
        resources: What each task asks for.
        kind: One of local.jobs.resources.KINDS; trainings get a warning before the limit.
        folder: See Submission.
        environment: Names of variables to pass on.

    Returns:
        Options of sbatch.
    """
    throttle = f"%{resources.max_running}" if resources.max_running else ""
    given = [
        f"--job-name={array.name}",
        f"--array={array.first}-{array.last}{throttle}",
        f"--output={folder}/{array.name}.%A_%a.out",
        "--open-mode=append",
        "--requeue",
        f"--export={','.join(environment) or 'NONE'}",
        f"--nodes={resources.nodes}",
        f"--ntasks-per-node={resources.processes}",
        f"--cpus-per-task={resources.cpus}",
    ]
    for name in ("partition", "account", "qos", "constraint", "time"):
        if getattr(resources, name) is not None:
            given.append(f"--{name}={getattr(resources, name)}")
    if resources.memory is not None:
        given.append(f"--mem={resources.memory}")
    if resources.gpus:
        given.append(f"--gres=gpu:{resources.gpus}")
    if kind == "train":
        given.append(f"--signal=USR1@{resources.signal_seconds}")
    return [*given, *resources.sbatch]


def script(array: Array, resources: Resources, *, kind: str, folder: Path) -> str:
    """Write the batch script of an array.

    Args:
        array: What to run.
        resources: What each task asks for.
        kind: One of local.jobs.resources.KINDS; trainings are told how to start their ranks.
        folder: See Submission.

    Returns:
        The text, for sbatch.
    """
    lines = ["#!/bin/bash", "set -u", f"cd {shlex.quote(os.getcwd())} || exit 1", *resources.setup]
    if kind == "train":
        # A step of its own: Slurm's warning and `scancel --signal` reach steps, not the batch script.
        launcher = f"srun --export=ALL --kill-on-bad-exit=1 --nodes={resources.nodes}"
        launcher += f" --ntasks-per-node={resources.processes} --cpus-per-task={resources.cpus}"
        lines += [
            f"export TRAINING_LAUNCHER={shlex.quote(launcher)}",
            f"export TRAINING_NODES={resources.nodes} TRAINING_PROCESSES={resources.processes}",
            f"export CHECKPOINT_MINUTES={resources.checkpoint_minutes}",
        ]
    command = " ".join(_with_number(word, array.variable) for word in array.command)
    result = f"{shlex.quote(f'{folder}/{array.name}')}.${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}.code"
    task = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    lines += [
        f"log={_with_number(str(array.log), array.variable)}",
        'mkdir -p "$(dirname "${log}")"',
        f"export OMP_NUM_THREADS={resources.cpus}",
        f'echo "# job {task} on ${{SLURMD_NODENAME}}, $(date +%FT%T)" >> "${{log}}"',
        f'{command} >> "${{log}}" 2>&1 < /dev/null',
        "code=$?",
        'echo "# ended with code ${code}, $(date +%FT%T)" >> "${log}"',
        f'if [ "${{code}}" -eq {REQUEUE} ]; then',
        '    echo "# queued again" >> "${log}"',
        f'    if scontrol requeue "{task}"; then sleep 600; exit 1; fi',
        "fi",
        f'echo "${{code}}" > {result}.tmp && mv {result}.tmp {result}',
        'exit "${code}"',
    ]
    return "\n".join(lines) + "\n"


def submit(
    array: Array,
    resources: Resources,
    *,
    kind: str,
    config: ClusterConfig,
    after: str | None = None,
) -> Submission:
    """Hand an array to Slurm; wait for a place when the queue is full.

    Args:
        array: What to run.
        resources: What each task asks for.
        kind: One of local.jobs.resources.KINDS.
        config: Its environment and patience.
        after: A job that must end well first; if it does not, this one is cancelled.

    Returns:
        What wait() takes.

    Raises:
        RecipeError: When Slurm refuses the job, with the remedy.
    """
    folder = (Path(array.log).parent / "q").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{array.name}.sh"
    with atomic_path(path) as tmp:
        tmp.write_text(script(array, resources, kind=kind, folder=folder))
    environment = [name for name in config.environment if name in os.environ]
    words = options(array, resources, kind=kind, folder=folder, environment=environment)
    if after is not None:
        words += [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"]
    deadline = time.monotonic() + 60 * config.patience_minutes
    told = False
    while True:
        try:
            patience = max(_LEAST_SUBMIT_SECONDS, deadline - time.monotonic())
            result = _sbatch(*words, str(path), seconds=min(_MOST_SUBMIT_SECONDS, patience))
            complaint = result.stderr.strip()
        except subprocess.TimeoutExpired as error:
            # sbatch itself waits and tries again when the controller takes no more jobs.
            result, complaint = None, (error.stderr or b"").decode("utf-8", "replace").strip()
            if not _waiting_helps(complaint):
                # What it said, if anything, is not why it hangs.
                complaint = f"{complaint}\nsbatch did not answer".strip()
        if result is not None and result.returncode == 0:
            submission = Submission(_number(result.stdout), array, folder)
            _write_record(submission)
            return submission
        waiting_helps = _waiting_helps(complaint)
        if not waiting_helps or time.monotonic() > deadline:
            raise RecipeError(_refusal(array, resources, path, complaint, busy=waiting_helps))
        if not told:
            full, silent = "the queue takes no more jobs, waiting for a place", "Slurm does not answer, waiting for it"
            state = silent if _SILENT.search(complaint) else full
            log(f"  {array.name}: {state}: {complaint.splitlines()[-1]}")
            told = True
        time.sleep(config.poll_seconds)


def _write_record(submission: Submission) -> None:
    """Leave the number of the job and its tasks for whoever asks later."""
    array = submission.array
    units = [array.title(task) for task in array.tasks]
    record = {"job": submission.job, "log": array.log, "variable": array.variable, "units": units}
    with atomic_path(submission.folder / f"{array.name}.json") as tmp:
        tmp.write_text(json.dumps(record) + "\n")


def read_record(folder: Path, name: str) -> Submission | None:
    """Find the last submission of an array.

    Args:
        folder: Where its logs lie.
        name: What the array is called.

    Returns:
        The submission; None when there was none.
    """
    try:
        record = json.loads((folder / "q" / f"{name}.json").read_text())
    except FileNotFoundError:
        return None
    array = Array(name, 1, len(record["units"]), record["variable"], record["log"], [], record["units"])
    return Submission(record["job"], array, folder / "q")


def _waiting_helps(complaint: str) -> bool:
    """Whether sbatch may take the job when others have ended."""
    limit = _LIMIT.search(complaint)
    if limit is None:
        return bool(_BUSY.search(complaint) or _SILENT.search(complaint))
    if "MaxSubmit" not in limit[0]:
        return "Submit" in limit[0]
    # A limit of one's own, and nothing of one's own in the queue: the array alone is above it.
    return bool(slurm("squeue", "--noheader", f"--user={os.geteuid()}").stdout.strip())


def _refusal(array: Array, resources: Resources, path: Path, complaint: str, *, busy: bool) -> str:
    """Say why Slurm did not take a job, and what to do."""
    limit = _LIMIT.search(complaint)
    if _SILENT.search(complaint):
        advice = "Slurm's controller does not answer (`scontrol ping`): run the same command again when it does"
    elif busy:
        advice = (
            "The queue is full for you (MaxSubmitJobs or the like). Run the same command again when some of your jobs "
            "have ended, or raise patience_minutes"
        )
    elif limit is not None and "Submit" in limit[0]:
        advice = (
            f"Its {len(array.tasks)} tasks are more than you may have in the queue ({limit[0]}): run it with fewer "
            "--objectives, --seeds or --nj at a time"
        )
    elif limit is not None:
        advice = (
            f"It asks for more than a job of yours may have ({limit[0]}; `sacctmgr show associations user=$USER` and "
            "`sacctmgr show qos` tell): change conf/slurm.yaml"
        )
    elif "partition" in complaint.lower():
        known = slurm("sinfo", "--noheader", "--format=%R").stdout.split()
        advice = f"partition '{resources.partition}' in conf/slurm.yaml: choose from {', '.join(sorted(set(known)))}"
    elif "array" in complaint.lower():
        advice = "The numbers of tasks must be below MaxArraySize, see `scontrol show config`: submit it in parts"
    elif "configuration source" in complaint or "s_p_parse_file" in complaint:
        advice = "There is no slurm.conf here: run it where jobs are submitted, or set SLURM_CONF"
    elif "account" in complaint.lower() or "qos" in complaint.lower():
        advice = "Set account and qos in conf/slurm.yaml; `sacctmgr show associations user=$USER` lists yours"
    else:
        advice = "See conf/slurm.yaml"
    return "\n  ".join([f"Slurm did not take {array.name} ({path}):", *complaint.splitlines(), advice])


def states(job: str) -> dict[int, tuple[str, str]]:
    """Ask Slurm about the tasks of an array.

    Args:
        job: Slurm's number.

    Returns:
        Task -> (state, reason or node). Tasks that Slurm has forgotten are absent.

    Raises:
        RecipeError: When the controller does not answer.
    """
    try:
        result = slurm("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%K|%T|%R")
    except subprocess.TimeoutExpired:
        raise RecipeError(f"squeue does not answer about job {job}") from None
    if result.returncode != 0:
        if "Invalid job id" in result.stderr:
            return {}
        raise RecipeError(f"squeue does not answer about job {job}: {result.stderr.strip()}")
    found = {}
    for line in result.stdout.splitlines():
        task, state, reason = line.split("|", 2)
        if task.isdecimal():
            found[int(task)] = (state, reason.strip("()"))
    return found


def cancel(job: str) -> None:
    """Cancel whatever of a job has not ended."""
    print(f"cancelling job {job}", file=sys.stderr)
    try:
        complaint = slurm("scancel", job).stderr.strip()
    except subprocess.TimeoutExpired:
        complaint = "no answer"
    if complaint and "already" not in complaint:
        print(f"job {job} may still be in the queue, scancel says: {complaint}", file=sys.stderr)


def describe(job: str, task: int) -> Mapping[str, str]:
    """What Slurm remembers of a task, as `scontrol show job` prints it; empty when it has forgotten."""
    try:
        text = slurm("scontrol", "--oneliner", "show", "job", f"{job}_{task}").stdout
    except subprocess.TimeoutExpired:
        return {}
    return dict(word.split("=", 1) for word in text.split() if "=" in word)
