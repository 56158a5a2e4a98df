#!/usr/bin/env python3
"""Does soft-DTW help where the SSL model knows positions? Upstreams that differ in their positions alone.

    benchmarks/positions.py [--preset mini] [--seeds "0 1"] --out DIR

For each variant of benchmarks/positions.yaml the recipe pre-trains an upstream and trains a recogniser over it, then
fine-tunes one and the same front-end with each objective and seed, decodes the test sets and probes the upstream.
Corpora, dump and front-end are shared. The script then sets the positional probe at the last layer, the one that the
objectives compare, against the difference in word error rate between them on all test sets together. DIR gets
positions.json, positions.md and positions.png. Interrupted, it goes on where it was; finished, it only writes its
table again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from espnet_plugins.analysis.comparisons import NOISY_SETS, compare, interval_cell, pool
from espnet_plugins.analysis.environment import describe_environment
from espnet_plugins.analysis.plots import COLOURS, MARKERS
from espnet_plugins.analysis.probe import Layer, ProbeResult
from espnet_plugins.analysis.scores import Scores, group_seeds, read_scores
from espnet_plugins.analysis.statistics import Interval, mean_and_deviation
from espnet_plugins.analysis.tables import Table, datasets, mean_cell
from espnet_plugins.atomic import atomic_path

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "egs" / "voicebank_librimix"
sys.path.insert(0, str(RECIPE))

from local.config import deep_merge  # noqa: E402

DESIGN = Path(__file__).with_suffix(".yaml")
BASELINE, SUBJECT = "ssl_mse", "ssl_soft_dtw"
_SHARED = ("downloads", "datadir", "dumpdir")


@dataclasses.dataclass(frozen=True)
class Variant:
    """What came out with one upstream.

    Args:
        name: Of the variant.
        scores: System -> test set -> score.
        probe: Of the upstream.
        mode: How the front-end was fine-tuned, "se" or "joint".
    """

    name: str
    scores: Scores
    probe: ProbeResult
    mode: str

    @property
    def compared_layer(self) -> Layer:
        """The layer that the objectives compare: the last."""
        return self.probe.layers[max(self.probe.layers)]

    def pooled(self) -> Scores:
        """The scores on all test sets together."""
        return pool(self.scores, datasets(self.scores), called=NOISY_SETS)

    def difference(self) -> Interval:
        """WER of soft-DTW minus WER of the squared distance, in per cent absolute."""
        return compare(self.pooled(), f"{BASELINE}_{self.mode}", f"{SUBJECT}_{self.mode}", NOISY_SETS)

    def rates(self) -> dict[str, list[float]]:
        """Configuration -> word error rate of each seed, in per cent."""
        pooled = self.pooled()
        return {
            name: [pooled[run][NOISY_SETS].total("words").rate for run in runs]
            for name, runs in group_seeds(pooled).items()
        }


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


def read_variant(name: str, out: Path, *, seeds: Sequence[str], mode: str) -> Variant:
    """Read what run_variant() left."""
    runs = [f"{objective}_{mode}_seed{seed}" for objective in (BASELINE, SUBJECT) for seed in seeds]
    design = yaml.safe_load(DESIGN.read_text(encoding="utf-8"))
    scores = read_scores(
        out / name / "score", systems=["clean", "noisy", "se", *runs], datasets=design["common"]["test"]
    )
    return Variant(name, scores, ProbeResult.read(out / name / "probe" / "probe.json"), mode)


def table(variants: Sequence[Variant]) -> Table:
    """One row for each upstream."""
    rows = []
    for variant in variants:
        layer, rates = variant.compared_layer, variant.rates()
        tuned = [f"{objective}_{variant.mode}" for objective in (BASELINE, SUBJECT)]
        gradients = [_percent(layer.gradients.get(objective)) for objective in (BASELINE, SUBJECT)]
        shares = [_percent(layer.states.index), _percent(layer.states.moved), *gradients]
        cells = [mean_cell(rates[name]) for name in ("clean", "noisy", "se", *tuned)]
        rows.append([variant.name, *shares, *cells, interval_cell(variant.difference())])
    probed = ["index (%)", "moved (%)", f"gradient of {BASELINE} (%)", f"gradient of {SUBJECT} (%)"]
    return Table(["positions", *probed, "clean WER", "noisy", "se", BASELINE, SUBJECT, "difference"], rows)


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def plot(variants: Sequence[Variant]):
    """Draw the difference in word error rate against the share that the index explains, intervals as bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for number, variant in enumerate(variants):
        share, difference = variant.compared_layer.states.index, variant.difference()
        axes.errorbar(
            [100 * share.value],
            [difference.value],
            xerr=[[100 * max(share.value - share.low, 0)], [100 * max(share.high - share.value, 0)]],
            yerr=[[max(difference.value - difference.low, 0)], [max(difference.high - difference.value, 0)]],
            label=variant.name,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            capsize=3,
        )
    axes.axhline(0, color="#7a8288", linewidth=0.8)
    axes.set_xlabel("variance between utterances explained by the frame index, last layer (%)")
    axes.set_ylabel(f"WER of {SUBJECT} minus {BASELINE} (points)")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def write(variants: Sequence[Variant], out: Path, *, command: str) -> None:
    """Write the table, the numbers and the figure."""
    environment = describe_environment(command, date=time.strftime("%F %T %Z"))
    content = {
        "environment": environment,
        "variants": {
            variant.name: {
                "index": dataclasses.asdict(variant.compared_layer.states.index),
                "rates": {name: [*values, mean_and_deviation(values)[0]] for name, values in variant.rates().items()},
                "difference": dataclasses.asdict(variant.difference()),
            }
            for variant in variants
        },
    }
    lines = [table(variants).markdown(), "", *(f"- {key}: `{value}`" for key, value in environment.items())]
    writers = {
        "positions.json": lambda path: path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8"),
        "positions.md": lambda path: path.write_text("\n".join(lines) + "\n", encoding="utf-8"),
        "positions.png": lambda path: plot(variants).savefig(path, format="png", dpi=150),
    }
    for name, writer in writers.items():
        with atomic_path(out / name) as temporary:
            writer(temporary)


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
    finished: list[Variant] = []
    for name in args.variants:
        try:
            run_variant(args, name, out)
        except subprocess.CalledProcessError as error:
            parser.exit(1, f"{parser.prog}: error: variant {name}: run.sh failed with exit code {error.returncode}\n")
        finished.append(read_variant(name, out, seeds=args.seeds.split(), mode=args.finetune))
        write(finished, out, command=f"benchmarks/positions.py --preset {args.preset} --seeds '{args.seeds}'")
    print("\n" + table(finished).plain())
    print(f"\n{out / 'positions.png'}")


if __name__ == "__main__":
    main()
