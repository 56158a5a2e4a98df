"""A real Slurm of two nodes on this machine, and the recipe's way to use it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPE = REPOSITORY / "egs" / "voicebank_librimix"
TESTBED = REPOSITORY / "tools" / "slurm_testbed.sh"


class Testbed:
    """A Slurm started by tools/slurm_testbed.sh.

    Args:
        root: Where it lives; short, since sockets have short names.
        port: The first of its ports.
        options: Of the script.
    """

    __test__ = False

    def __init__(self, root: Path, port: int, *options: str):
        self.root, self.port = root, port
        self.environment = {**os.environ, "SLURM_TESTBED": str(root), "SLURM_CONF": str(root / "slurm.conf")}
        self.control("start", "--port", str(port), *options)

    def control(self, *words: str) -> None:
        """Call the script."""
        result = subprocess.run([TESTBED, *words], env=self.environment, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr

    def slurm(self, *command: str) -> str:
        """Run a program of Slurm's; give what it prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60).stdout

    def start(self, *words: str, config: Path, **options) -> subprocess.Popen:
        """Start a module of the recipe: start("local.cmd", "--backend", "slurm", ...)."""
        environment = {
            **self.environment,
            "CLUSTER_CONFIG": str(config),
            "PYTHONPATH": f"{RECIPE}{os.pathsep}{REPOSITORY}",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def cmd(self, *words: str, config: Path, kind: str = "cpu") -> tuple[int, str, str]:
        """Run local.cmd on this Slurm; give its exit code and what it printed."""
        process = self.start("local.cmd", "--backend", "slurm", "--kind", kind, *words, config=config)
        out, err = process.communicate(timeout=180)
        return process.returncode, out, err

    def wait_for(self, condition, seconds: float = 60) -> None:
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


def skip_without_slurm() -> None:
    """Skip the test where no Slurm can be had, and say why."""
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own takes root")
    if shutil.which("slurmctld") is None and shutil.which("apt-get") is None:
        pytest.skip("Slurm is not installed, and without apt-get it is not to be had")


def start_testbed(port: int, *options: str) -> Testbed:
    """Start a Slurm, or skip the test and say why it cannot be."""
    skip_without_slurm()
    # In /tmp: the path of a socket must be short.
    return Testbed(Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp")), port, *options)
