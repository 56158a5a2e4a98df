"""The soft-DTW of an earlier commit, beside the present one in the same process."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "espnet_plugins/soft_dtw"


def load_earlier(commit: str, folder: Path) -> ModuleType:
    """Import `espnet_plugins.soft_dtw` as it was at a commit, under another name.

    Args:
        commit: Any name of it.
        folder: Where its files, and what is compiled from them, are kept.

    Returns:
        The package; it shares nothing with the present one.

    Raises:
        ValueError: git knows no such commit, or the package was not in it.
    """
    found = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short=12", f"{commit}^{{commit}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise ValueError(f"git knows no commit {commit!r} here: {found.stderr.strip()}")
    name = f"soft_dtw_at_{found.stdout.strip()}"
    if not (folder / name).exists():
        packed = subprocess.run(["git", "-C", ROOT, "archive", commit, PACKAGE], capture_output=True, check=False)
        if packed.returncode:
            raise ValueError(f"no {PACKAGE} at commit {commit!r}: {packed.stderr.decode().strip()}")
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            for member in archive.getmembers():
                source = archive.extractfile(member)
                if source is not None and member.name.endswith(".py"):
                    path = folder / name / Path(member.name).relative_to(PACKAGE)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    text = source.read().decode("utf-8")
                    path.write_text(text.replace(PACKAGE.replace("/", "."), name), encoding="utf-8")
    sys.path.insert(0, str(folder))
    return importlib.import_module(name)
