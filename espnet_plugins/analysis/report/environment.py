"""Where and with what a result was made."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

_PACKAGES = ("espnet", "torch", "torchaudio", "jiwer", "pesq", "pystoi", "torchmetrics")


def describe_environment(command: str, *, date: str) -> dict[str, str]:
    """Describe the machine and the software for a RESULTS file.

    Args:
        command: The command line that made the results.
        date: When.

    Returns:
        What -> value, in the order to print.
    """
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "date": date,
        "command": command,
        "git commit": _git_commit(),
        "python": sys.version.split()[0],
        **versions,
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB; {_accelerator()}",
    }


def _git_commit() -> str:
    def git(*arguments: str) -> str:
        folder = Path(__file__).resolve().parent
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        commit = git("log", "-1", "--format=%h of %cs")
        dirty = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (", with local changes" if dirty else "")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError):
        return float("nan")


def _accelerator() -> str:
    import torch

    if not torch.cuda.is_available():
        return "no GPU"
    return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
