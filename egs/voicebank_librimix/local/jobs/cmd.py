"""Kaldi's calling convention: one command, many tasks.

    python3 -m local.jobs.cmd [--backend local|slurm] [--gpu N --mem 8G --time T --max_jobs_run K ...] \\
        JOB=1:N log.JOB.txt command ...

JOB (any upper-case word) stands for the task's number, in the log's name and in the command. The exit code is
0 when every task ended with 0; else the tasks that failed are named with the last lines of their logs.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from local.common.steps import OptionError, run_main
from local.jobs.processes import Job, run_jobs
from local.jobs.resources import KINDS, Resources, load_cluster_config, memory_bytes
from local.jobs.slurm import Array, submit
from local.jobs.slurm_wait import ends_by_signal, wait

_RANGE = re.compile(r"([A-Z][A-Z0-9_]*)=(\d+)(?::(\d+))?")


def parse_array(words: Sequence[str], *, name: str | None = None) -> Array:
    """Read `JOB=1:N log.JOB.txt command ...`; without a range there is one task.

    Args:
        words: What stands behind the options.
        name: What the job is called; default: from the log's name.

    Returns:
        The array, with the log's path made absolute.

    Raises:
        OptionError: For an empty range, a log that all tasks would share, or nothing to run.

    Example:
        >>> array = parse_array(["JOB=1:3", "a.JOB.log", "echo", "JOB"])
        >>> array.tasks, array.log_of(2).name
        (range(1, 4), 'a.2.log')
    """
    words = list(words)
    variable, first, last = "JOB", 1, 1
    match = _RANGE.fullmatch(words[0]) if words else None
    if match:
        variable, first = match[1], int(match[2])
        last = int(match[3] or first)
        words.pop(0)
        if not 1 <= first <= last:
            raise OptionError(f"{match[0]}: numbers run from 1 on, the first is not behind the last")
    if len(words) < 2:
        raise OptionError("expected [JOB=1:N] log.JOB.txt command ...")
    log, *command = words
    if first < last and variable not in log:
        raise OptionError(f"the log '{log}' needs {variable} in its name: the tasks would write over each other")
    title = name or re.sub(rf"[^\w-]*{variable}", "", Path(log).stem) or "job"
    return Array(title, first, last, variable, str(Path(log).absolute()), command)


def local_limit(resources: Resources, *, cores: int, memory: int) -> int:
    """How many tasks may run at once on this machine.

    Args:
        resources: What a task asks for.
        cores: Of the machine.
        memory: Bytes that are free.

    Returns:
        At least 1.

    Example:
        >>> local_limit(Resources(cpus=2, memory="8G"), cores=8, memory=20 * 2**30)
        2
    """
    limits = [cores // resources.cpus, resources.max_running or cores]
    if resources.memory is not None:
        limits.append(memory // memory_bytes(resources.memory))
    return max(1, min(limits))


def available_memory() -> int:
    """Bytes of memory that programs may still take."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def run_local(array: Array, resources: Resources) -> None:
    """Run an array as processes of this machine; each task goes on when another fails."""
    jobs = [
        Job(
            array.title(task),
            [word.replace(array.variable, str(task)) for word in array.command],
            array.log_of(task),
            threads=resources.cpus,
        )
        for task in array.tasks
    ]
    limit = local_limit(resources, cores=len(os.sched_getaffinity(0)), memory=available_memory())
    run_jobs(jobs, nj=limit, keep_going=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("local", "slurm"), default="local")
    parser.add_argument("--kind", choices=KINDS, default="cpu", help="whose settings of conf/slurm.yaml hold")
    parser.add_argument("--config", type=Path, help="another file than conf/slurm.yaml")
    parser.add_argument("--name", help="what the job is called in the queue")
    parser.add_argument("--names", help="what the tasks are called in messages, separated by blanks")
    parser.add_argument("--gpu", type=int, dest="gpus", help="GPUs per node")
    parser.add_argument("--mem", dest="memory", help="memory per node: 8G")
    parser.add_argument("--time", help="limit: minutes, HH:MM:SS, D-HH")
    parser.add_argument("--max_jobs_run", "--max-jobs-run", type=int, dest="max_running", help="tasks at once")
    parser.add_argument("--num_threads", "--num-threads", type=int, dest="cpus", help="CPUs per process")
    parser.add_argument("--num_nodes", "--num-nodes", type=int, dest="nodes", help="nodes per task")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="[JOB=1:N] log.JOB.txt command ...")
    return parser


def main() -> None:
    """Run or submit an array and wait for it."""
    args = _parser().parse_args()
    config = load_cluster_config(args.config)
    given = {
        key: getattr(args, key)
        for key in ("gpus", "memory", "time", "max_running", "cpus", "nodes")
        if getattr(args, key) is not None
    }
    resources = dataclasses.replace(config.kinds[args.kind], **given)
    array = parse_array(args.words, name=args.name)
    if args.names:
        array = dataclasses.replace(array, names=shlex.split(args.names))
    if args.backend == "local":
        run_local(array, resources)
    else:
        with ends_by_signal():
            wait(submit(array, resources, kind=args.kind, config=config), config)


if __name__ == "__main__":
    run_main(main)
