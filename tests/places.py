"""Where things lie, for every test: the repository, its recipe, real data beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "egs" / "voicebank_librimix"
# Real recordings, where the machine has them; tests that need them skip elsewhere.
SHARED = ROOT.parent / "shared" / "data"
