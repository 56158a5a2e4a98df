"""Stages of the recipe called in this process, on a preset of their own."""

import os

import yaml

from local.corpora import catalogue
from local.corpora.corpus import variables
from local.pipeline import dry_run, run
from local.pipeline.options import parse
from local.pipeline.pipeline import ARRAYS, Pipeline
from local.stages import data

# The settings of the synthetic corpus for tests.
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


ARRAYS_OF = {catalogue: ("corpora",), data: ("dump", "data")}


class Stages:
    """Calls of stages with all directories below `root`.

    Args:
        root: An empty directory.
        monkeypatch: Sets the environment.
        settings: Of the preset, over those of the synthetic corpus with TINY sizes.
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
        """Do the arrays of jobs that a module of the recipe stands for, or its dry run, as run.sh would."""
        directories = [x for d in ("data", "dump", "exp") for x in (f"--{d}dir", str(self.root / d))]
        words = ["--preset", str(self.preset), *directories, "--downloads", str(self.root / "downloads"), *options]
        # What a call puts into the environment is gone behind the test.
        for variable in variables():
            self.monkeypatch.setenv(variable, os.environ.get(variable, ""))
        if module is dry_run:
            run.run(parse(["--dry_run=true", *words]))
            return
        pipeline = Pipeline(parse(words))
        for array in ARRAYS:
            for job in array.jobs(pipeline) if array.name in ARRAYS_OF[module] else ():
                job.work()
