"""The batch script of an array, and what sbatch is told about it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from local.jobs.array import CommandArray
from local.jobs.placement import Placement
from local.jobs.processes import REQUEUE
from local.jobs.resources import Resources


def options(
    array: CommandArray, resources: Resources, *, kind: str, folder: Path, environment: Sequence[str]
) -> list[str]:
    """What sbatch is told about an array.

    Args:
        array: What to run.
        resources: What each job asks for.
        kind: One of local.jobs.resources.KINDS; trainings get a warning before the limit.
        folder: See local.jobs.slurm.records.Submission.
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


def script(array: CommandArray, resources: Resources, *, kind: str, folder: Path) -> str:
    """Write the batch script of an array.

    Args:
        array: What to run.
        resources: What each job asks for.
        kind: One of local.jobs.resources.KINDS; trainings are told how to start their ranks.
        folder: See local.jobs.slurm.records.Submission.

    Returns:
        The text, for sbatch.
    """
    lines = ["#!/bin/bash", "set -u", f"cd {shlex.quote(os.getcwd())} || exit 1", *resources.setup]
    if kind == "train":
        # A step of its own: Slurm's warning and `scancel --signal` reach steps, not the batch script.
        launcher = f"srun --export=ALL --kill-on-bad-exit=1 --nodes={resources.nodes}"
        launcher += f" --ntasks-per-node={resources.processes} --cpus-per-task={resources.cpus}"
        placement = Placement(
            launcher=launcher,
            nodes=resources.nodes,
            processes=resources.processes,
            checkpoint_minutes=resources.checkpoint_minutes,
        )
        lines += [f"export {name}={shlex.quote(value)}" for name, value in placement.variables().items()]
    command = " ".join(with_number(word, array.variable) for word in array.command)
    result = f"{shlex.quote(f'{folder}/{array.name}')}.${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}.code"
    task = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    lines += [
        f"log={with_number(str(array.log), array.variable)}",
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


def with_number(word: str, variable: str) -> str:
    """Quote a word for the shell, with the job's number where `variable` stands."""
    return '"${SLURM_ARRAY_TASK_ID}"'.join(shlex.quote(part) if part else "" for part in word.split(variable)) or "''"
