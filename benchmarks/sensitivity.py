#!/usr/bin/env python3
"""What the objectives owe to their options: fine-tunings that differ in one option, compared on the development set.

    benchmarks/sensitivity.py --experiment egs/voicebank_librimix/exp/mini [--seeds "0 1"] --out DIR

Every variant of benchmarks/sensitivity.yaml is fine-tuned (stage 5 alone) from the models of an experiment whose
stages 1 to 4 are done. Test sets are not touched. DIR gets sensitivity.json and sensitivity.md. Interrupted, it goes on
where it was; finished, it only writes its table again.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from espnet_plugins.analysis.comparison.curves import Curve, merge_seeds, read_curve
from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.atomic import atomic_path, write_text
from pages.studies import OPTIONS, Study

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "egs" / "voicebank_librimix"
sys.path.insert(0, str(RECIPE))

from local.common.recipe import Run, deep_merge, load_preset, read_yaml  # noqa: E402

DESIGN = Path(__file__).with_suffix(".yaml")
MEASURE = "valid_wer_ctc"
# What all variants start from.
_SHARED = ("ssl", "se", "asr")


def folder_name(variant: str) -> str:
    """The variant's name without blanks and commas, for paths.

    Example:
        >>> folder_name("ssl_soft_dtw, speed 0.95 to 1.05")
        'ssl_soft_dtw_speed_0.95_to_1.05'
    """
    return re.sub(r"[^\w.]+", "_", variant)


def make_preset(base: str, design: Mapping[str, Any]) -> dict[str, Any]:
    """The preset of a variant.

    Args:
        base: A preset of the recipe, or the path of one.
        design: The variant: `objective`, and what its criterion has otherwise: `conf`, `weight`.
    """
    objective = design["objective"]
    stock = read_yaml(RECIPE / "conf" / "objectives" / f"{objective}.yaml")
    (criterion,) = deep_merge(stock, load_preset(base).get("config", {}).get(objective, {}))["enh_criterions"]
    over: dict[str, Any] = {"conf": design.get("conf", {})}
    if "weight" in design:
        over["wrapper_conf"] = {"weight": design["weight"]}
    return {"extends": base, "config": {objective: {"enh_criterions": [deep_merge(criterion, over)]}}}


def run_variant(args: argparse.Namespace, name: str, design: Mapping[str, Any], out: Path) -> list[Path]:
    """Fine-tune a variant, as far as it is not done.

    Returns:
        The development curve of each seed.

    Raises:
        subprocess.CalledProcessError: Where the stage fails; what it printed stands above.
        ValueError: Where `out` has variants of another experiment.
    """
    expdir = out / folder_name(name)
    expdir.mkdir(parents=True, exist_ok=True)
    for shared in _SHARED:
        wanted, link = args.experiment.absolute() / shared, expdir / shared
        if link.exists() and not link.samefile(wanted):
            raise ValueError(f"{link} is not {wanted}: this --out holds variants of another experiment; give another")
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.relpath(wanted, expdir))
    preset = expdir / "preset.yaml"
    write_text(preset, yaml.safe_dump(make_preset(args.preset, design), sort_keys=False))
    command = [str(RECIPE / "run.sh"), "--stage", "5", "--stop_stage", "5", "--preset", str(preset)]
    command += ["--expdir", str(expdir), "--nj", str(args.nj), "--finetune", args.finetune]
    command += ["--objectives", design["objective"], "--seeds", args.seeds]
    for option, folder in (("datadir", "data"), ("dumpdir", "dump"), ("downloads", "downloads")):
        place = getattr(args, option) or RECIPE / folder / Path(args.preset).stem
        command += [f"--{option}", str(Path(place).absolute())]
    subprocess.run(command, check=True)
    runs = [Run(design["objective"], args.finetune, int(seed)) for seed in args.seeds.split()]
    return [expdir / "runs" / run.name / "curve.csv" for run in runs]


def write(curves: Mapping[str, Curve], out: Path, *, command: str) -> Study:
    """Write the table and the numbers."""
    study = Study(OPTIONS, describe_environment(command, date=time.strftime("%F %T %Z")), curves)
    with atomic_path(out / "sensitivity.json") as temporary:
        study.write(temporary)
    write_text(out / "sensitivity.md", study.markdown() + "\n")
    return study


def get_parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", type=Path, required=True, metavar="EXP", help="its stages 1 to 4 are done")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="trainings and results")
    parser.add_argument("--preset", default="mini", help="the experiment's (default: %(default)s)")
    parser.add_argument("--variants", nargs="+", choices=names, default=names, metavar="NAME", help="default: all")
    parser.add_argument("--seeds", default="0 1", help="blank-separated (default: %(default)s)")
    parser.add_argument("--finetune", choices=("joint", "se"), default="joint", help="default: %(default)s")
    for option in ("downloads", "datadir", "dumpdir"):
        parser.add_argument(f"--{option}", help="as in run.sh (default: the preset's)")
    parser.add_argument("--nj", type=int, default=2, help="parallel trainings (default: %(default)s)")
    return parser


def main() -> None:
    """Train what is left; print and write the table after each variant."""
    design = read_yaml(DESIGN)["variants"]
    parser = get_parser(list(design))
    args = parser.parse_args()
    if missing := [name for name in _SHARED if not (args.experiment / name).is_dir()]:
        parser.error(f"{args.experiment} has no {', '.join(missing)}: run stages 1 to 4 of the recipe there first")
    curves: dict[str, Curve] = {}
    for name in args.variants:
        try:
            found = run_variant(args, name, design[name], args.out.absolute())
        except subprocess.CalledProcessError as error:
            parser.exit(1, f"{parser.prog}: error: variant {name}: run.sh failed with exit code {error.returncode}\n")
        except ValueError as error:
            parser.exit(1, f"{parser.prog}: error: {error}\n")
        curves[name] = merge_seeds([read_curve(path) for path in found], MEASURE)
        command = f"benchmarks/sensitivity.py --preset {args.preset} --seeds '{args.seeds}' --finetune {args.finetune}"
        study = write(curves, args.out, command=command)
    print("\nDevelopment WER (%)\n" + study.table().plain())


if __name__ == "__main__":
    main()
