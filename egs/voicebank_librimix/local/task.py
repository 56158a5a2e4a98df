"""One task of an array whose tasks are different commands: python3 -m local.task COMMANDS.json NUMBER"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from local.steps import atomic_path

# Stands for the task's number; unlike JOB, it is in no path.
VARIABLE = "TASKNUMBER"


def write_commands(path: Path, commands: Sequence[Sequence[str]]) -> list[str]:
    """Write the commands of an array; give the command of its tasks.

    Args:
        path: Gets the commands.
        commands: The program and arguments of each task.

    Returns:
        A command in which VARIABLE stands for the task's number, from 1 on.

    Example:
        >>> import tempfile
        >>> write_commands(Path(tempfile.mkdtemp()) / "a.json", [["echo", "1"]])[-1]
        'TASKNUMBER'
    """
    with atomic_path(path) as tmp:
        tmp.write_text(json.dumps([list(command) for command in commands], indent=1) + "\n")
    return [sys.executable, "-m", "local.task", str(path), VARIABLE]


def main() -> None:
    """Become the command of the given number."""
    path, number = sys.argv[1:]
    command = json.loads(Path(path).read_text())[int(number) - 1]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
