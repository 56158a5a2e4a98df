"""Kaldi's calling convention: one command, many jobs.

    python3 -m local.jobs.cmd [--backend local|slurm] [--gpu N --mem 8G --time T --max_jobs_run K ...] \\
        JOB=1:N log.JOB.txt command ...

JOB (any upper-case word) stands for the job's number, in the log's name and in the command. The exit code is
0 when every job ended with 0; else the jobs that failed are named with the last lines of their logs.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from local.common.errors import OptionError
from local.common.program import run_main
from local.jobs.array import CommandArray
from local.jobs.backends import Backend, Local, SiteProgram, Slurm
from local.jobs.resources import KINDS, load_cluster_config

_RANGE = re.compile(r"([A-Z][A-Z0-9_]*)=(\d+)(?::(\d+))?")


def parse_array(words: Sequence[str], *, name: str | None = None) -> CommandArray:
    """Read `JOB=1:N log.JOB.txt command ...`; without a range there is one job.

    Args:
        words: What stands behind the options.
        name: What the job is called; default: from the log's name.

    Returns:
        The array, with the log's path made absolute.

    Raises:
        OptionError: For an empty range, a log that all jobs would share, or nothing to run.

    Example:
        >>> array = parse_array(["JOB=1:3", "a.JOB.log", "echo", "JOB"])
        >>> array.numbers, array.log_of(2).name
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
        raise OptionError(f"the log '{log}' needs {variable} in its name: the jobs would write over each other")
    title = name or re.sub(rf"[^\w-]*{variable}", "", Path(log).stem) or "job"
    return CommandArray(title, first, last, variable, str(Path(log).absolute()), command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("local", "slurm"), default="local")
    parser.add_argument("--kind", choices=KINDS, default="cpu", help="whose settings of conf/slurm.yaml hold")
    parser.add_argument("--config", type=Path, help="another file than conf/slurm.yaml")
    parser.add_argument("--name", help="what the array is called in the queue")
    parser.add_argument("--names", help="what the jobs are called in messages, separated by blanks")
    parser.add_argument("--gpu", type=int, dest="gpus", help="GPUs per node")
    parser.add_argument("--mem", dest="memory", help="memory per node: 8G")
    parser.add_argument("--time", help="limit: minutes, HH:MM:SS, D-HH")
    parser.add_argument("--max_jobs_run", "--max-jobs-run", type=int, dest="max_running", help="jobs at once")
    parser.add_argument("--num_threads", "--num-threads", type=int, dest="cpus", help="CPUs per process")
    parser.add_argument("--num_nodes", "--num-nodes", type=int, dest="nodes", help="nodes per job")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="[JOB=1:N] log.JOB.txt command ...")
    return parser


def _backend(args: argparse.Namespace) -> Local | Slurm:
    config = load_cluster_config(args.config)
    given = {
        key: getattr(args, key)
        for key in ("gpus", "memory", "time", "max_running", "cpus", "nodes")
        if getattr(args, key) is not None
    }
    resources = dataclasses.replace(config.kinds[args.kind], **given)
    return Local(resources) if args.backend == "local" else Slurm(args.kind, resources, config)


def backend_of(command: str, *, gpus: int | None = None) -> Backend:
    """What a command of cmd.sh stands for.

    Args:
        command: A call of this program, without an array, or of a site's own.
        gpus: Of each job, unless the command says so itself; a site's own program is told in its command.

    Example:
        >>> backend_of("python3 -m local.jobs.cmd --kind train --mem 2G", gpus=1).resources.memory
        '2G'
    """
    words = shlex.split(command)
    if "local.jobs.cmd" not in words:
        return SiteProgram(words)
    args = _parser().parse_args(words[words.index("local.jobs.cmd") + 1 :])
    args.gpus = gpus if args.gpus is None else args.gpus
    return _backend(args)


def main() -> None:
    """Run or submit an array and wait for it."""
    args = _parser().parse_args()
    backend, array = _backend(args), parse_array(args.words, name=args.name)
    if args.names:
        array = dataclasses.replace(array, names=shlex.split(args.names))
    backend.run(array)


if __name__ == "__main__":
    run_main(main)
