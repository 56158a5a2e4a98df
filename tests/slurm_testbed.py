"""A real Slurm of two nodes on this machine, and the recipe's way to use it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from places import RECIPE, ROOT

# How long anything may take on a busy machine; nothing waits so long where it need not.
SECONDS = 2000
TESTBED = ROOT / "tools" / "slurm_testbed.sh"


class NotInstallable(Exception):
    """The packages are not to be had here."""


class Testbed:
    """A Slurm started by tools/slurm_testbed.sh.

    Args:
        root: Where it lives; short, since sockets have short names.
        options: Of the script.
    """

    __test__ = False

    def __init__(self, root: Path, *options: str):
        self.root = root
        self.environment = {**os.environ, "SLURM_TESTBED": str(root), "SLURM_CONF": str(root / "slurm.conf")}
        try:
            self.control("start", "--port", str(free_ports()), *options)
        except AssertionError:
            self.control("stop")
            raise

    def control(self, *words: str) -> None:
        """Call the script."""
        result = subprocess.run(
            [TESTBED, *words], env=self.environment, capture_output=True, text=True, timeout=SECONDS
        )
        if "could not install" in result.stderr:
            raise NotInstallable(result.stderr.strip().splitlines()[-1])
        assert result.returncode == 0, result.stderr

    def slurm(self, *command: str) -> str:
        """Run a program of Slurm's; give what it prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60).stdout

    def start(self, *words: str, config: Path, **variables: str) -> subprocess.Popen:
        """Start a module of the recipe: start("local.jobs.cmd", "--backend", "slurm", ...)."""
        variables["PYTHONPATH"] = f"{RECIPE}{os.pathsep}{ROOT}"
        variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return self._start([sys.executable, "-m", *words], config, variables)

    def start_recipe(self, *options: str, config: Path) -> subprocess.Popen:
        """Start run.sh with the jobs on this Slurm, in a process group of its own."""
        command = [RECIPE / "run.sh", "--cmd_backend", "slurm", *options]
        return self._start(command, config, {}, start_new_session=True)

    def _start(self, command, config: Path, variables: Mapping[str, str], **options) -> subprocess.Popen:
        environment = {**self.environment, "CLUSTER_CONFIG": str(config), **variables}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=environment, text=True, **pipes, **options)

    def cmd(self, *words: str, config: Path, kind: str = "cpu") -> tuple[int, str, str]:
        """Run local.jobs.cmd on this Slurm; give its exit code and what it printed."""
        process = self.start("local.jobs.cmd", "--backend", "slurm", "--kind", kind, *words, config=config)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def recipe(self, *options: str, config: Path) -> tuple[int, str, str]:
        """Run run.sh with the jobs on this Slurm; give its exit code and what it printed."""
        process = self.start_recipe(*options, config=config)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def wait_for(self, condition, seconds: float = SECONDS) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.slurm("squeue") + self.slurm("sinfo", "--Node", "--long")
            time.sleep(0.2)


def write_small_config(path: Path, **changes) -> Path:
    """Write a configuration for this machine; `changes` are settings of every kind of job."""
    content = yaml.safe_load((RECIPE / "conf" / "slurm.yaml").read_text())
    content["defaults"].update(memory="100M", cpus=1, time="10")
    for kind in content["kinds"].values():
        for name in ("memory", "cpus", "time"):
            kind.pop(name, None)
        kind.update(changes)
    path.write_text(yaml.safe_dump({**content, "poll_seconds": 0.5, "patience_minutes": 1}))
    return path


def folders(root: Path) -> list[str]:
    """Options of run.sh that put everything below `root`."""
    return [word for name in ("downloads", "datadir", "dumpdir", "expdir") for word in (f"--{name}", str(root / name))]


def skip_without_slurm() -> None:
    """Skip the test where no Slurm can be had, and say why."""
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own takes root")
    if shutil.which("slurmctld") is None and shutil.which("apt-get") is None:
        pytest.skip("Slurm is not installed, and without apt-get it is not to be had")


def free_ports() -> int:
    """The first of a hundred ports of which those that a testbed uses are free."""
    for first in range(27200, 32000, 100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for offset in (0, 1, 2, 90):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", first + offset))
            return first
    raise RuntimeError("no free ports")


def start_testbed(*options: str) -> Testbed:
    """Start a Slurm, or skip the test and say why it cannot be."""
    skip_without_slurm()
    # In /tmp: the path of a socket must be short.
    try:
        return Testbed(Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp")), *options)
    except NotInstallable as error:
        pytest.skip(str(error))
