"""One job of an array whose jobs are different commands: python3 -m local.jobs.array_job COMMANDS.json NUMBER"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.common.output import atomic_path

# Stands for the job's number; unlike JOB, it is in no path.
VARIABLE = "JOBNUMBER"


def write_commands(path: Path, commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> list[str]:
    """Write the commands of an array; give the command of its jobs.

    Args:
        path: Gets the commands.
        commands: The program and arguments of each job.
        environment: Variables that every job needs, whatever a cluster passes on.

    Returns:
        A command in which VARIABLE stands for the job's number, from 1 on.

    Example:
        >>> import tempfile
        >>> write_commands(Path(tempfile.mkdtemp()) / "a.json", [["echo", "1"]], {})[-1]
        'JOBNUMBER'
    """
    with atomic_path(path) as tmp:
        tmp.write_text(json.dumps({"environment": dict(environment), "commands": list(map(list, commands))}, indent=1))
    return [sys.executable, "-m", "local.jobs.array_job", str(path), VARIABLE]


def main() -> None:
    """Become the command of the given number."""
    path, number = sys.argv[1:]
    array = json.loads(Path(path).read_text())
    command = array["commands"][int(number) - 1]
    os.execvpe(command[0], command, {**os.environ, **array["environment"]})


if __name__ == "__main__":
    main()
