#!/usr/bin/env python3
"""Does soft-DTW help where the SSL model knows positions? Upstreams that differ in their positions alone.

    benchmarks/positions.py [--preset mini] [--seeds "0 1"] --out DIR

For each variant of benchmarks/positions.yaml the recipe pre-trains an upstream and trains a recognizer over it, then
fine-tunes one and the same front-end with each objective and seed, decodes the test sets and probes the upstream.
Corpora, dump and front-end are shared. The script then sets the positional probe at the last layer, the one that the
objectives compare, against the difference in word error rate between them on all test sets together. DIR gets
positions.json, positions.md and positions.png. Interrupted, it goes on where it was; finished, it only writes its
table again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from espnet_plugins.analysis.comparison.comparisons import NOISY_SETS, compare, pool
from espnet_plugins.analysis.comparison.tables import datasets
from espnet_plugins.analysis.probe import ProbeResult
from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.analysis.scoring.scores import group_seeds, read_scores
from espnet_plugins.atomic import atomic_path, write_text
from pages.studies import POSITIONS, Study, UpstreamResult, plot_positions

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "egs" / "voicebank_librimix"
sys.path.insert(0, str(RECIPE))

from local.common.recipe import deep_merge  # noqa: E402

DESIGN = Path(__file__).with_suffix(".yaml")
BASELINE, SUBJECT = "ssl_mse", "ssl_soft_dtw"
_SHARED = ("downloads", "datadir", "dumpdir")


def make_preset(base: str, variant: str, path: Path) -> None:
    """Write the preset of a variant.

    Args:
        base: A preset of the recipe, or the path of one.
        variant: One of those in positions.yaml.
        path: File to write.
    """
    design = yaml.safe_load(DESIGN.read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    preset = {"extends": base, **deep_merge(design["common"], design["variants"][variant])}
    path.write_text(yaml.safe_dump(preset, sort_keys=False), encoding="utf-8")


def share_front_end(out: Path, expdir: Path) -> None:
    """Let a variant's front-end be the one that all start from."""
    shared = out / "se"
    shared.mkdir(parents=True, exist_ok=True)
    expdir.mkdir(parents=True, exist_ok=True)
    if not (expdir / "se").exists():
        (expdir / "se").symlink_to(os.path.relpath(shared, expdir))


def run_variant(args: argparse.Namespace, name: str, out: Path) -> None:
    """Run the recipe for a variant, as far as it is not done.

    Raises:
        subprocess.CalledProcessError: Where a stage fails; what it printed stands above.
    """
    preset, expdir = out / "presets" / f"{name}.yaml", out / name
    make_preset(args.preset, name, preset)
    share_front_end(out, expdir)
    command = [str(RECIPE / "run.sh"), "--preset", str(preset), "--expdir", str(expdir), "--nj", str(args.nj)]
    base = Path(args.preset).stem
    for option in _SHARED:
        folder = getattr(args, option) or RECIPE / option.removesuffix("dir") / base
        command += [f"--{option}", str(Path(folder).absolute())]
    command += ["--objectives", f"{BASELINE} {SUBJECT}", "--seeds", args.seeds, "--finetune", args.finetune]
    subprocess.run(command, check=True)


def read_variant(name: str, out: Path, *, seeds: Sequence[str], mode: str) -> UpstreamResult:
    """Read what run_variant() left: scores on all test sets together, and the probe at the layer that is compared."""
    tuned = [f"{objective}_{mode}" for objective in (BASELINE, SUBJECT)]
    runs = [f"{configuration}_seed{seed}" for configuration in tuned for seed in seeds]
    test = yaml.safe_load(DESIGN.read_text(encoding="utf-8"))["common"]["test"]
    scores = read_scores(out / name / "score", systems=["clean", "noisy", "se", *runs], datasets=test)
    pooled = pool(scores, datasets(scores), called=NOISY_SETS)
    rates = {
        configuration: [pooled[run][NOISY_SETS].total("words").rate for run in seeds_of]
        for configuration, seeds_of in group_seeds(pooled).items()
    }
    probe = ProbeResult.read(out / name / "probe" / "probe.json")
    layer = probe.layers[max(probe.layers)]
    gradients = {objective: layer.gradients[objective] for objective in (BASELINE, SUBJECT)}
    difference = compare(pooled, *tuned, NOISY_SETS)
    return UpstreamResult(layer.states.index, layer.states.moved, gradients, rates, difference)


def write(variants: Mapping[str, UpstreamResult], out: Path, *, command: str) -> Study:
    """Write the table, the numbers and the figure."""
    study = Study(POSITIONS, describe_environment(command, date=time.strftime("%F %T %Z")), variants)
    with atomic_path(out / "positions.json") as temporary:
        study.write(temporary)
    write_text(out / "positions.md", study.markdown() + "\n")
    with atomic_path(out / "positions.png") as temporary:
        plot_positions(variants).savefig(temporary, format="png", dpi=150)
    return study


def get_parser() -> argparse.ArgumentParser:
    """The command line."""
    names = list(yaml.safe_load(DESIGN.read_text(encoding="utf-8"))["variants"])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="experiments and results")
    parser.add_argument("--preset", default="mini", help="preset that the variants extend (default: %(default)s)")
    parser.add_argument("--variants", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--seeds", default="0 1", help="of the fine-tuning (default: %(default)s)")
    parser.add_argument(
        "--finetune", choices=("se", "joint"), default="se", help="as in run.sh; se: the objective alone (default)"
    )
    for option in _SHARED:
        parser.add_argument(f"--{option}", help="as in run.sh (default: the preset's)")
    parser.add_argument("--nj", type=int, default=2, help="parallel processes (default: %(default)s)")
    return parser


def main() -> None:
    """Run what is left to do; print and write the table after each variant."""
    parser = get_parser()
    args = parser.parse_args()
    out = args.out.absolute()
    finished: dict[str, UpstreamResult] = {}
    for name in args.variants:
        try:
            run_variant(args, name, out)
        except subprocess.CalledProcessError as error:
            parser.exit(1, f"{parser.prog}: error: variant {name}: run.sh failed with exit code {error.returncode}\n")
        finished[name] = read_variant(name, out, seeds=args.seeds.split(), mode=args.finetune)
        command = f"benchmarks/positions.py --preset {args.preset} --seeds '{args.seeds}' --finetune {args.finetune}"
        study = write(finished, out, command=command)
    print("\n" + study.table().plain())
    print(f"\n{out / 'positions.png'}")


if __name__ == "__main__":
    main()
