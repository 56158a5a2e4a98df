"""faults.c built with the machine's C compiler, and the environment that puts it into a run."""

from __future__ import annotations

import dataclasses
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

KINDS = ("write", "read", "rename", "open", "change", "flush")
_FOLDERS = 16
_HEAD = struct.Struct("<Qq")
_COUNTS = struct.Struct(f"<{_FOLDERS * len(KINDS)}Q")
_PATH = 4096


class NoCompiler(Exception):
    """There is no C compiler, or it cannot build the library."""


def build(folder: Path) -> Path:
    """Compile the library.

    Args:
        folder: Gets it, unless its name has a blank or a colon.

    Raises:
        NoCompiler: With the reason.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompiler("no C compiler `cc` on the PATH (Debian: apt install gcc libc6-dev)")
    if set(str(folder)) & set(" :"):
        # Where LD_PRELOAD ends a name.
        folder = Path(tempfile.mkdtemp(prefix="faults"))
    library = folder / "libfaults.so"
    source = Path(__file__).with_name("faults.c")
    command = [compiler, "-O2", "-fPIC", "-shared", "-o", str(library), str(source), "-ldl"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise NoCompiler(f"{' '.join(command)}: {result.stderr.strip()}")
    return library


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens at which call.

    Args:
        call: One of KINDS.
        folder: The number of the folder that its path is below.
        at: Which of these calls, from 1; 0 for none, to count only.
        action: See faults.c.
        times: How many calls from there on; 0 for all.
    """

    call: str = "write"
    folder: int = 0
    at: int = 0
    action: str = ""
    times: int = 1


@dataclasses.dataclass(frozen=True)
class Seen:
    """What the library has seen: how often the fault came, at which path first, all calls by folder and kind."""

    fired: int
    where: str
    counts: list[dict[str, int]]


class Preload:
    """The library, and what it has seen in one run.

    Args:
        library: What build() gave.
        state: A file of its own.
        folders: Whose calls are counted.
    """

    def __init__(self, library: Path, state: Path, folders: Sequence[Path]):
        self.library, self.state, self.folders = library, state, folders

    def environment(self, fault: Fault) -> Mapping[str, str]:
        """What to add to the environment of a run; forgets what was seen before."""
        self.state.write_bytes(bytes(_HEAD.size + _COUNTS.size + _PATH))
        return {
            "LD_PRELOAD": str(self.library),
            "FAULT_BELOW": ":".join(map(str, self.folders)),
            "FAULT_STATE": str(self.state),
            "FAULT_CALL": fault.call,
            "FAULT_FOLDER": str(fault.folder),
            "FAULT_AT": str(fault.at),
            "FAULT_ACTION": fault.action,
            "FAULT_TIMES": str(fault.times),
        }

    def seen(self) -> Seen:
        """What the library has seen until now."""
        content = self.state.read_bytes()
        fired, _ = _HEAD.unpack_from(content)
        numbers = _COUNTS.unpack_from(content, _HEAD.size)
        width = len(KINDS)
        counts = [dict(zip(KINDS, numbers[k * width : (k + 1) * width], strict=True)) for k in range(len(self.folders))]
        where = content[_HEAD.size + _COUNTS.size :].split(b"\0", 1)[0].decode(errors="replace")
        return Seen(fired, where, counts)
