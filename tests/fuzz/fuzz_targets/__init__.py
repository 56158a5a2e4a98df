"""What broken input is tried on: for each kind of input whole files to break, and the project's readers of it."""

from __future__ import annotations

from fuzz_targets import archives, audio, checkpoints, kaldi, presets, results, tables, trees
from fuzz_targets.target import NamelessError, Target, names_something

__all__ = ["TARGETS", "NamelessError", "Target", "names_something"]

_MODULES = (audio, checkpoints, archives, tables, presets, kaldi, trees, results)
TARGETS = {module.TARGET.name: module.TARGET for module in _MODULES}
