"""Presets and the command line that every stage shares."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from local.common.steps import OptionError

RECIPE_DIR = Path(__file__).resolve().parents[2]
# Baselines that are compared when asked for; those of the recognition loss alone leave the objective out.
RECOGNITION_LOSS = ("multi_condition", "asr_only")
# Ours beyond the paper: ssl_soft_dtw with one thing changed.
BEYOND_THE_PAPER = ("ssl_soft_dtw_layers", "ssl_soft_dtw_curriculum", "ssl_soft_dtw_pad")
# In the order of tables and reports.
ALL_OBJECTIVES = (*RECOGNITION_LOSS, "si_snr", "mimic", "ssl_mse", "ssl_mse_pad", "ssl_soft_dtw", *BEYOND_THE_PAPER)
FINETUNE_MODES = ("joint", "se")
# What stage 4 can train over the frozen SSL model: a recogniser of words, one of phones.
HEADS = ("asr", "pr")


def deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two nested mappings; the second wins, lists are replaced whole.

    Example:
        >>> deep_merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
        {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = deep_merge(old, value) if nested else value
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        OptionError: When it is missing, broken, or no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionError(f"no such configuration: {path}") from None
    except yaml.YAMLError as error:
        raise OptionError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise OptionError(f"{path} must hold a mapping of settings")
    return content


def preset_names() -> list[str]:
    """The presets that come with the recipe."""
    return sorted(path.stem for path in (RECIPE_DIR / "conf" / "presets").glob("*.yaml"))


def front_end_names() -> list[str]:
    """The front-ends that come with the recipe."""
    return sorted(path.stem for path in (RECIPE_DIR / "conf" / "front_ends").glob("*.yaml"))


def load_preset(name: str) -> dict[str, Any]:
    """Load a preset by name, or a user's own by the path of its YAML file.

    Args:
        name: One of preset_names(), or a path ending in .yaml. A preset may say `extends: OTHER`.

    Returns:
        The settings, with those of `extends` underneath.

    Raises:
        OptionError: When there is no such preset.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPE_DIR / "conf" / "presets" / f"{name}.yaml"
    if not path.is_file():
        raise OptionError(f"unknown preset '{name}': choose from {', '.join(preset_names())}, or give a .yaml file")
    preset = read_yaml(path)
    parent = preset.pop("extends", None)
    return deep_merge(load_preset(parent), preset) if parent else preset


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One invocation of the recipe: its preset, its directories, its resources.

    Args:
        preset: The settings of load_preset().
        name: The preset's name.
        downloads: Where corpora lie or are put.
        datadir: Kaldi-style data directories.
        dumpdir: Audio archives ready for training.
        expdir: Models, decoding results, scores, report.
        nj: Parallel processes.
        ngpu: GPUs for training; 0 trains on the CPU.
    """

    preset: dict[str, Any]
    name: str
    downloads: Path
    datadir: Path
    dumpdir: Path
    expdir: Path
    nj: int
    ngpu: int = 0

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Recipe:
        """Build it from the options of add_common_arguments()."""
        name = Path(args.preset).stem
        preset = load_preset(args.preset)
        if args.front_end and args.front_end != preset.get("front_end"):
            # Published weights belong to the preset's own front-end; another one is trained.
            preset |= {"front_end": args.front_end, "front_end_weights": None}
        if (front_end := preset.get("front_end")) not in front_end_names():
            raise OptionError(f"unknown front-end '{front_end}': choose from {', '.join(front_end_names())}")
        heads = preset.get("heads", [])
        if "asr" not in heads or not {*heads} <= {*HEADS}:
            raise OptionError(f"preset '{name}': heads: {heads!r} is not accepted; give [asr] or [asr, pr]")
        if args.nj < 1:
            raise OptionError(f"--nj must be at least 1, not {args.nj}")
        paths = {
            field: Path(getattr(args, field) or Path(field.removesuffix("dir")) / name).absolute()
            for field in ("downloads", "datadir", "dumpdir", "expdir")
        }
        return cls(preset=preset, name=name, nj=args.nj, ngpu=args.ngpu, **paths)

    def conf(self, name: str) -> Path:
        """The path of a file below the recipe's conf/."""
        return RECIPE_DIR / "conf" / name

    def dump_done(self, name: str) -> Path:
        """The `.done` of a dumped set, the input of whatever reads the set."""
        return self.dumpdir / name / ".dump.done"


def add_common_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that run.sh hands to every stage."""
    parser.add_argument("--preset", default="mini", help=f"one of {', '.join(preset_names())}, or a .yaml file")
    parser.add_argument("--front_end", help=f"one of {', '.join(front_end_names())} (default: the preset's)")
    parser.add_argument("--downloads", help="corpora (default: downloads/PRESET)")
    parser.add_argument("--datadir", help="data directories (default: data/PRESET)")
    parser.add_argument("--dumpdir", help="audio archives (default: dump/PRESET)")
    parser.add_argument("--expdir", help="experiments (default: exp/PRESET)")
    parser.add_argument("--nj", type=int, default=2, help="parallel processes (default: %(default)s)")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs for training (default: %(default)s)")
    return parser


@dataclasses.dataclass(frozen=True)
class Run:
    """One fine-tuning run of stage 5.

    Args:
        objective: One of ALL_OBJECTIVES.
        finetune: "joint" or "se".
        seed: Of initialisation, data order and perturbation.
    """

    objective: str
    finetune: str
    seed: int

    @property
    def name(self) -> str:
        """The run's name in every directory and table."""
        return f"{self.objective}_{self.finetune}_seed{self.seed}"


def add_run_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that select the runs of stage 5."""
    parser.add_argument("--objectives", help="blank-separated (default: the preset's)")
    parser.add_argument("--finetune", help="joint or se (default: the preset's)")
    parser.add_argument("--seeds", help="blank-separated whole numbers (default: the preset's)")
    return parser


def runs_from_args(recipe: Recipe, args: argparse.Namespace) -> list[Run]:
    """The runs that the options of add_run_arguments() ask for, objective by objective in the order of tables.

    Args:
        recipe: Its preset's `runs` stand for options that are not given.
        args: The options.

    Raises:
        OptionError: For an unknown objective or mode, or a seed that is no whole number.
    """
    defaults = recipe.preset["runs"]
    finetune = args.finetune or defaults["finetune"]
    objectives = (args.objectives or defaults["objectives"]).replace(",", " ").split()
    seeds = (args.seeds or str(defaults["seeds"])).replace(",", " ").split()
    for objective in objectives:
        if objective not in ALL_OBJECTIVES:
            raise OptionError(f"unknown objective '{objective}': choose from {', '.join(ALL_OBJECTIVES)}")
    if finetune not in FINETUNE_MODES:
        raise OptionError(f"unknown --finetune '{finetune}': choose from {', '.join(FINETUNE_MODES)}")
    alone = [objective for objective in objectives if objective in RECOGNITION_LOSS]
    if alone and finetune != "joint":
        raise OptionError(f"'{alone[0]}' is the recognition loss alone, which --finetune joint has")
    for seed in seeds:
        if not seed.isdecimal():
            raise OptionError(f"--seeds takes whole numbers, not '{seed}'")
    if not objectives or not seeds:
        raise OptionError("--objectives and --seeds need at least one value each")
    ordered = sorted(objectives, key=ALL_OBJECTIVES.index)
    return [Run(objective, finetune, int(seed)) for objective in ordered for seed in seeds]


def add_resume_argument(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add --resume, of the stages that train."""
    parser.add_argument("--resume", default="true", help="false trains again (default: %(default)s)")
    return parser


def resume_from_args(args: argparse.Namespace) -> bool:
    """The value of --resume.

    Raises:
        OptionError: When it is neither true nor false.
    """
    if args.resume not in ("true", "false"):
        raise OptionError(f"--resume is true or false, not '{args.resume}'")
    # A job that was queued again goes on with what it began.
    return args.resume == "true" or int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0
