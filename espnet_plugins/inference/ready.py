"""Models that come with this package, by name."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "ready"


def ready_models() -> list[str]:
    """Their names, as `Enhancer.from_pretrained` and the programs take them.

    Example:
        >>> ready_models()
        ['gtcrn_for_whisper']
    """
    return sorted(path.stem for path in _FOLDER.glob("*.zip"))


def ready_model(name: str) -> Path | None:
    """The packed file of a model that comes with this package; None for any other name."""
    return _FOLDER / f"{name}.zip" if name in ready_models() else None
