"""What a file of weights is that cannot be read as one, without running what it holds."""

from __future__ import annotations

import pickletools
import zipfile
from os import PathLike
from pathlib import Path

# A file of torch's older format begins with four pickles: a mark, a version, the machine, and the content.
_PICKLES = 4


def explain_denoiser_checkpoint(path: str | PathLike[str]) -> str | None:
    """Say what to do with a file that denoiser's training wrote.

    Args:
        path: Any file.

    Returns:
        What it is and the remedy, for an error message; None for any other file.

    Example:
        >>> explain_denoiser_checkpoint(__file__) is None
        True
    """
    names = _names_in_pickles(Path(path))
    if not any(name.startswith("denoiser.") for name in names):
        return None
    whole = "best_state" in names
    key = "best_state" if whole else "state"
    kind = "a checkpoint (checkpoint.th)" if whole else "the best model (best.th)"
    return (
        f"{path} is {kind} of denoiser's own training: it names classes of that package, so that reading it runs code. "
        "If you trust it, write its weights alone where the package denoiser is installed, "
        f"python -c \"import torch; torch.save(torch.load('{Path(path).name}', map_location='cpu', "
        f"weights_only=False)['{key}'], 'weights.th')\", "
        "and import weights.th with --layout and the name of the published model that has its sizes"
    )


def _names_in_pickles(path: Path) -> set[str]:
    """Classes and texts that a file of torch.save() names; empty where it is none."""
    names: set[str] = set()
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    if member.endswith("/data.pkl"):
                        with archive.open(member) as stream:
                            names |= _names(stream)
        else:
            with path.open("rb") as stream:
                for _ in range(_PICKLES):
                    names |= _names(stream)
    except Exception:
        # Whatever it is, it is not what is looked for here.
        return names
    return names


def _names(stream) -> set[str]:
    found = set()
    for opcode, argument, _ in pickletools.genops(stream):
        if isinstance(argument, str) and (opcode.name == "GLOBAL" or "UNICODE" in opcode.name):
            found.add(argument)
    return found
