"""Everything that the recipe says about Slurm's jobs: refused, waiting, failed, each with what to do about it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from local.jobs.array import CommandArray
from local.jobs.processes import log_tail
from local.jobs.resources import Resources
from local.jobs.slurm.programs import describe, slurm
from local.jobs.slurm.records import Submission

# What sbatch says of a limit on jobs in the queue; without accounting the limit is not named.
_BUSY = re.compile(r"job submit limit|temporarily unable to accept job|Resource temporarily|MaxJobCount", re.IGNORECASE)
_SILENT = re.compile(r"Socket timed out|Unable to contact slurm controller|did not answer", re.IGNORECASE)
# The name of a limit of accounting: AssocMaxSubmitJobLimit, QOSMaxWallDurationPerJobLimit, ...
_LIMIT = re.compile(r"\b(?:Assoc|QOS)[A-Z]\w+")
# What slurmstepd says where Slurm's state is only FAILED or CANCELLED.
_OVER_MEMORY = re.compile(r"(slurmstepd|srun)\S*: .*(exceeded .*memory limit|oom.?kill|out of memory)", re.IGNORECASE)
_ADVICE = {
    "OUT_OF_MEMORY": "It used more memory than it asked for: raise `memory` in conf/slurm.yaml.",
    "TIMEOUT": "It reached its time limit: raise `time` in conf/slurm.yaml, or run again to continue.",
    "NODE_FAIL": "Its node failed. Run the same command again to continue.",
    "PREEMPTED": "It was preempted. Run the same command again to continue.",
    "CANCELLED": "Somebody cancelled it. Run the same command again to continue.",
    "BOOT_FAIL": "Its node did not start. Run the same command again.",
}


def waiting_helps(complaint: str) -> bool:
    """Whether sbatch may take the job when others have ended."""
    limit = _LIMIT.search(complaint)
    if limit is None:
        return bool(_BUSY.search(complaint) or _SILENT.search(complaint))
    if "MaxSubmit" not in limit[0]:
        return "Submit" in limit[0]
    # A limit of one's own, and nothing of one's own in the queue: the array alone is above it.
    return bool(slurm("squeue", "--noheader", f"--user={os.geteuid()}").stdout.strip())


def waiting(array: CommandArray, complaint: str) -> str:
    """Say why an array is not in the queue yet."""
    full, silent = "the queue takes no more jobs, waiting for a place", "Slurm does not answer, waiting for it"
    return f"  {array.name}: {silent if _SILENT.search(complaint) else full}: {complaint.splitlines()[-1]}"


def refusal(array: CommandArray, resources: Resources, path: Path, complaint: str, *, busy: bool) -> str:
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
            f"Its {len(array.numbers)} jobs are more than you may have in the queue ({limit[0]}): run it with fewer "
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
        advice = "The numbers of jobs must be below MaxArraySize, see `scontrol show config`: submit it in parts"
    elif "configuration source" in complaint or "s_p_parse_file" in complaint:
        advice = "There is no slurm.conf here: run it where jobs are submitted, or set SLURM_CONF"
    elif "account" in complaint.lower() or "qos" in complaint.lower():
        advice = "Set account and qos in conf/slurm.yaml; `sacctmgr show associations user=$USER` lists yours"
    else:
        advice = "See conf/slurm.yaml"
    return "\n  ".join([f"Slurm did not take {array.name} ({path}):", *complaint.splitlines(), advice])


def progress(submission: Submission, unfinished: set[int], found: Mapping[int, tuple[str, str]]) -> str:
    """One line about the jobs of an array."""
    array = submission.array
    ended = len(array.numbers) - len(unfinished)
    parts = [f"job {submission.job}: {ended} of {len(array.numbers)} ended"]
    places = {number: found.get(number, ("", "")) for number in sorted(unfinished)}
    waiting = Counter(reason for state, reason in places.values() if state == "PENDING")
    parts += [f"{count} waiting ({reason})" for reason, count in waiting.items()]
    for number, (state, _) in places.items():
        if state == "RUNNING":
            last = log_tail(array.log_of(number), 1)
            parts.append(f"{array.title(number)}: {last[0].strip() if last else 'started'}")
    return "; ".join(parts)


def _over_memory(submission: Submission, number: int) -> bool:
    # Of a step, such as a training, in the log; of the job itself, in what Slurm had to say.
    logs = (submission.messages(number), submission.array.log_of(number))
    return any(_OVER_MEMORY.search("\n".join(log_tail(path))) for path in logs)


def why_ended(submission: Submission, number: int, state: str) -> str:
    """Say how a job ended that left no exit code."""
    known = describe(submission.job, number)
    state = known.get("JobState", state) if state == "gone" else state
    if _over_memory(submission, number):
        state = "OUT_OF_MEMORY"
    where = f" on {known['NodeList']}" if known.get("NodeList", "(null)") != "(null)" else ""
    return f"ended as {state}{where}. {_ADVICE.get(state, 'Run the same command again to continue.')}"


def failure(submission: Submission, number: int, why: str) -> str:
    """Name a job that failed, with its logs and their last lines."""
    array = submission.array
    lines = [f"{array.title(number)} (job {submission.job}_{number}) {why}"]
    for path in (array.log_of(number), submission.messages(number)):
        tail = log_tail(path)
        if tail:
            lines += [f"The last lines of {path}:", *(f"  {line}" for line in tail)]
    if len(lines) == 1:
        lines.append(f"It wrote no log ({array.log_of(number)}).")
    return "\n  ".join(lines)


def why_failed(submission: Submission, number: int, state: str, code: int) -> str:
    """Say how a job ended that left an exit code."""
    is_over = state == "OUT_OF_MEMORY" or _over_memory(submission, number)
    return f"failed with exit code {code}" + (f". {_ADVICE['OUT_OF_MEMORY']}" if is_over else "")
