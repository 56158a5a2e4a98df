"""Presets, registries of corpora, configurations of a cluster and objectives."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from unittest import mock

import yaml
from fuzz_mutations import Tree, changed_files, changed_values, yaml_file
from hypothesis import strategies as st

from fuzz_targets.target import Target, in_this_process
from local.common.errors import RecipeError
from local.common.recipe import RECIPE_DIR
from local.jobs.resources import load_cluster_config
from local.pipeline import run
from local.pipeline.options import parse


def _settings(name: str) -> dict:
    return yaml.safe_load((RECIPE_DIR / "conf" / name).read_text(encoding="utf-8"))


def _cases() -> st.SearchStrategy[Tree]:
    presets = [
        _settings(f"presets/{name}.yaml") for name in ("mini", "noisy_speech", "whisper_small", "paper_mini", "digits")
    ]
    own = {
        "extends": "mini",
        "corpora": {"mini": None},
        "sets": {"a": {"corpus": "custom", "part": "x"}},
        "train": ["a"],
    }
    own |= {"dev": ["a"], "test": ["a"], "limits": {"max_seconds": 20}, "config": {"train_se": {"max_epoch": 1}}}
    registry = _settings("corpora.yaml")
    slurm = _settings("slurm.yaml")
    objective = _settings("objectives/ssl_mse.yaml")
    with_registry = {"registry.yaml": yaml.safe_dump(registry).encode()}
    text = (RECIPE_DIR / "conf" / "presets" / "mini.yaml").read_bytes()
    return st.one_of(
        *[changed_values(preset).map(yaml_file("preset.yaml")) for preset in [*presets, own]],
        changed_values(slurm).map(yaml_file("slurm.yaml")),
        changed_values(registry).map(yaml_file("registry.yaml")),
        changed_values(objective).map(yaml_file("conf/objectives/mine.yaml")),
        changed_files({"preset.yaml": text}, text=True),
        changed_files(with_registry, text=True),
    )


def _read(folder: Path, out: Path) -> None:
    if (folder / "slurm.yaml").exists():
        load_cluster_config(folder / "slurm.yaml")
        return
    preset = folder / "preset.yaml"
    if not preset.exists():
        content = {"extends": "mini"}
        if (folder / "registry.yaml").exists():
            content["registry"] = str(folder / "registry.yaml")
        if (folder / "conf").exists():
            content["conf_dirs"] = [str(folder / "conf")]
        preset = out / "preset.yaml"
        out.mkdir()
        preset.write_text(yaml.safe_dump(content))
    words = [f"--{name}dir={out / name}" for name in ("data", "dump", "exp")]
    words += [f"--downloads={out / 'downloads'}", f"--preset={preset}", "--dry_run=true"]
    with mock.patch.dict(os.environ), contextlib.redirect_stdout(io.StringIO()), in_this_process():
        run.run(parse(words))


def _whole() -> list[Tree]:
    slurm, registry = _settings("slurm.yaml"), _settings("corpora.yaml")
    presets = [yaml_file("preset.yaml")(_settings(f"presets/{name}.yaml")) for name in ("mini", "whisper_small")]
    return [*presets, yaml_file("slurm.yaml")(slurm), yaml_file("registry.yaml")(registry)]


_OPTIONS = ("preset", "config of stage", "set '", "--", "`", "noisy_speech", "corpora", "judge", "front")

TARGET = Target("presets", _whole, _cases, _read, (RecipeError,), names=_OPTIONS)
