"""Stages of the recipe called in this process, on a preset of their own."""

import yaml

# The settings of the embedded corpus for tests.
TINY = {
    "seed": 5,
    "voicebank_demand": {
        "train": 24,
        "dev": 4,
        "test": 12,
        "snr": {"train": [15, 0], "test": [17.5, 2.5], "hard": [0, -5]},
    },
    "librimix": {"train": 12, "dev": 4, "test": 8},
    "noise_seconds": 16,
}


class Stages:
    """Calls of stages with all directories below `root`.

    Args:
        root: An empty directory.
        monkeypatch: Sets the command line.
        settings: Of the preset, over those of the embedded corpus with TINY sizes.
    """

    def __init__(self, root, monkeypatch, **settings):
        self.root, self.monkeypatch = root, monkeypatch
        self.preset = root / "tiny.yaml"
        self.defaults = {"extends": "mini", "corpora": {"mini": TINY}, "vocabulary": 50, **settings}
        self.write()

    def write(self, **settings):
        """Write the preset, with some settings changed."""
        self.preset.write_text(yaml.safe_dump({**self.defaults, **settings}))

    def __call__(self, module, *options):
        """Run a stage's main() as run.sh would."""
        directories = [x for d in ("data", "dump", "exp") for x in (f"--{d}dir", str(self.root / d))]
        argv = ["stage", "--preset", str(self.preset), *directories, "--downloads", str(self.root / "downloads")]
        self.monkeypatch.setattr("sys.argv", [*argv, *options])
        module.main()
