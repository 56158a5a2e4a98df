#!/usr/bin/env python3
"""Time and memory of one update of the joint model, for each objective.

    benchmarks/joint_step.py [--seconds 12 8 4] [--rounds 5] [--device cpu] [--out DIR]

The model is the recipe's (conf/front_ends/conv_tasnet.yaml, train_asr.yaml, objectives/*.yaml) over an upstream in its
real configuration with random weights, the batch padded noise of unequal lengths. All variants take turns
within each round, in a changing order, and ratios are taken within a round (Ctrl-C ends after the last whole one):

  OBJECTIVE          the joint step as trained: enhance, objective + CTC, backward, clip, Adam
  ssl_soft_dtw=      the same with speeds whose references together last as long as ssl_mse's: what alignment costs
  OBJECTIVE, naive   objective and recognizer each pass the enhanced signal through the upstream on their own
  OBJECTIVE, kept    with the references' frames kept (reference_cache); every batch is the same, so that they are there
  OBJECTIVE, stock   the front-end as ESPnet has it, whose norms see the padding (enh_model_conf: ignore_padding: false)

On a CPU, ratios are those of the process's CPU time, which a busy machine distorts less than elapsed time; both are
printed. Memory is the peak of the process during a step, beyond what it held before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

import espnet_plugins.tasks as tasks
from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.atomic import write_text
from espnet_plugins.objectives import SSLSoftDTW
from espnet_plugins.ssl import get_shared_upstream

RECIPE = Path(__file__).resolve().parents[1] / "egs" / "voicebank_librimix"
sys.path.insert(0, str(RECIPE))

from local.common.recipe import deep_merge, read_yaml  # noqa: E402
from local.stages.train_config import joint_modules  # noqa: E402

CONF = RECIPE / "conf"
OBJECTIVES = ("si_snr", "ssl_mse", "ssl_mse_pad", "ssl_soft_dtw")
EQUAL_AUDIO, NAIVE, STOCK, KEPT = "ssl_soft_dtw=", ", naive", ", stock", ", kept"
SAMPLE_RATE = 16000
TOKENS = ["<blank>", "<unk>", *(f"\u2581w{k}" for k in range(97)), "<sos/eos>"]
# 1 / 0.9 + 1 / 1.125 = 2: a slower and a faster utterance of one length last as long as before.
SLOWER, FASTER = 0.9, 1.125


def build(
    objective: str,
    upstream: dict[str, Any],
    folder: Path,
    *,
    preset: Mapping[str, Any] | None = None,
    ignore_padding: bool = True,
    kept: bool = False,
) -> torch.nn.Module:
    """The recipe's joint model with random weights, in a preset's sizes or those of conf/*.yaml."""
    changes = (preset or {}).get("config", {})
    front_end = (preset or {}).get("front_end", "conv_tasnet")

    def read(name: str) -> dict[str, Any]:
        return deep_merge(read_yaml(CONF / f"{name}.yaml"), changes.get(Path(name).name, {}))

    config = joint_modules(read(f"front_ends/{front_end}"), read("train_asr"))
    for name in ("train_joint", f"objectives/{objective}", "finetune/joint"):
        config.update(read(name))
    config["frontend_conf"] = {**config["frontend_conf"], "upstream": upstream}
    needs = config.pop("objective")["needs"]
    for criterion in config["enh_criterions"]:
        if needs.get(criterion["name"]) == "upstream":
            criterion["conf"]["upstream"] = upstream
            criterion["conf"].update({"reference_cache": {"memory": "2GB"}} if kept else {})
    config["enh_model_conf"] = {**(config.get("enh_model_conf") or {}), "ignore_padding": ignore_padding}
    config.update(token_list=TOKENS, use_preprocessor=False, output_dir=str(folder))
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    args = tasks.JointTask.get_parser().parse_args(["--config", str(path)])
    return tasks.JointTask.build_model(argparse.Namespace(**vars(args)))


def make_batch(seconds: list[float], device: torch.device) -> dict[str, torch.Tensor]:
    """Noise of these lengths, the longest first, with half a word a second."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor(sorted((round(SAMPLE_RATE * s) for s in seconds), reverse=True))
    words = (lengths / SAMPLE_RATE / 2).ceil().long()
    shape = (len(lengths), int(lengths.max()))
    valid = torch.arange(shape[1]) < lengths[:, None]
    clean = 0.1 * torch.randn(shape, generator=generator) * valid
    noisy = clean + 0.05 * torch.randn(shape, generator=generator) * valid
    batch = {
        "speech": noisy,
        "speech_lengths": lengths,
        "speech_ref1": clean,
        "text_spk1": torch.randint(2, 99, (len(lengths), int(words.max())), generator=generator),
        "text_spk1_lengths": words,
    }
    return {name: value.to(device) for name, value in batch.items()}


@dataclass
class Variant:
    """One row of the table.

    Args:
        name: What the row is called.
        step: One update.
        seconds: Elapsed time of each round.
        work: CPU time of each round; on a GPU, the elapsed time.
        peaks: Peak memory of each round, in bytes beyond what was held before.
    """

    name: str
    step: Callable[[], None]
    seconds: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)


@contextmanager
def separate_passes(naive: bool) -> Iterator[None]:
    """Take the sharing of passes out of the joint model."""
    shared = tasks.share_passes
    if naive:
        tasks.share_passes = contextlib.nullcontext
    try:
        yield
    finally:
        tasks.share_passes = shared


def draw_equal_audio(criterion: SSLSoftDTW) -> None:
    """Give a criterion speeds whose references together last as long as at speed 1, over two calls at most."""
    turn = [0]

    def draw(reference: torch.Tensor, samples: list[int]) -> tuple[list[float], list[int], list[int]]:
        turn[0] += 1
        # The longest against all others, as 12 s against 8 s + 4 s; then the other way round.
        factors = [SLOWER if (row == 0) == (turn[0] % 2 == 0) else FASTER for row in range(len(samples))]
        # Without zeros before and behind.
        return factors, [0] * len(samples), [0] * len(samples)

    criterion.draw = draw  # type: ignore[method-assign]


def make_variants(args: argparse.Namespace, folder: Path, batch: dict[str, torch.Tensor]) -> list[Variant]:
    """All rows, with a model and an optimizer each; the upstream is one."""
    upstream = {"model": args.upstream, "pretrained": False}
    names = list(args.objectives)
    if "ssl_soft_dtw" in names:
        names.insert(names.index("ssl_soft_dtw") + 1, EQUAL_AUDIO)
    for objectives, suffix in ((args.naive, NAIVE), (args.kept, KEPT), (args.stock, STOCK)):
        names += [name + suffix for name in objectives]
    variants = []
    for name in names:
        torch.manual_seed(0)
        objective = name.partition(",")[0].rstrip("=")
        how = {"ignore_padding": not name.endswith(STOCK), "kept": name.endswith(KEPT)}
        model = build(objective, upstream, folder, **how).to(args.device).train()
        if name == EQUAL_AUDIO:
            draw_equal_audio(model.enh_model.loss_wrappers[0].criterion)
        variants.append(Variant(name, make_step(model, batch, naive=name.endswith(NAIVE), autocast=args.bf16)))
    return variants


def make_step(model: torch.nn.Module, batch: dict[str, torch.Tensor], *, naive: bool, autocast: bool) -> Callable:
    """One update of a model on a batch, as the trainer does it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    device = batch["speech"].device.type

    def step() -> None:
        with separate_passes(naive), torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
            loss, *_ = model(**batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


class Peak:
    """Peak memory between two moments, in bytes; None where the system does not tell."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"

    def start(self) -> None:
        """Forget earlier peaks."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.held = torch.cuda.memory_allocated()
            return
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self.held = self._status("VmRSS")

    def stop(self) -> int:
        """Give the peak since start(), beyond what was held then."""
        return (torch.cuda.max_memory_allocated() if self.cuda else self._status("VmHWM")) - self.held

    @staticmethod
    def _status(key: str) -> int:
        try:
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        except OSError:
            return 0
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def measure_until_interrupted(variants: list[Variant], *, rounds: int, device: torch.device) -> int:
    """Measure; Ctrl-C ends it after the last whole round. Gives the number of rounds."""
    try:
        measure(variants, rounds=rounds, device=device)
    except KeyboardInterrupt:
        rounds = min(len(variant.work) for variant in variants)
        if not rounds:
            raise SystemExit("\ninterrupted before the first round was whole") from None
        for variant in variants:
            for values in (variant.seconds, variant.work, variant.peaks):
                del values[rounds:]
        print(f"\ninterrupted: {rounds} rounds are whole", file=sys.stderr)
    return rounds


def measure(variants: list[Variant], *, rounds: int, device: torch.device) -> None:
    """Take turns, after a round that warms up; print what is done and how long the rest will take."""
    peak, start, done = Peak(device), time.perf_counter(), 0
    total = (rounds + 1) * len(variants)
    for turn in range(-1, rounds):
        order = variants[max(turn, 0) % len(variants) :] + variants[: max(turn, 0) % len(variants)]
        for variant in order:
            peak.start()
            begun, worked = time.perf_counter(), time.process_time()
            variant.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            taken = time.perf_counter() - begun
            if turn >= 0:
                variant.seconds.append(taken)
                variant.work.append(taken if device.type == "cuda" else time.process_time() - worked)
                variant.peaks.append(peak.stop())
            done += 1
            left = (time.perf_counter() - start) / done * (total - done)
            what = f"round {turn + 1} of {rounds}" if turn >= 0 else "warming up"
            print(f"\r{what}: {variant.name}, {taken:.2f} s; {left:.0f} s left \033[K", end="", file=sys.stderr)
    print(file=sys.stderr)


def ratios(variant: Variant, other: Variant) -> dict[str, float]:
    """Ratio of the work within each round: median, least and largest."""
    each = [a / b for a, b in zip(variant.work, other.work, strict=True)]
    return {"median": statistics.median(each), "min": min(each), "max": max(each)}


def summarize(variants: list[Variant]) -> dict[str, Any]:
    """Everything that was measured, with the two claims."""
    by_name = {variant.name: variant for variant in variants}
    rows = [
        {
            "name": variant.name,
            "seconds": statistics.median(variant.seconds),
            "seconds_min": min(variant.seconds),
            "seconds_max": max(variant.seconds),
            "work": statistics.median(variant.work),
            "peak_mib": statistics.median(variant.peaks) / 2**20,
            "rounds": variant.seconds,
            "work_rounds": variant.work,
        }
        for variant in variants
    ]
    pairs: list[tuple[str, str, float | None]] = []
    if EQUAL_AUDIO in by_name and "ssl_mse" in by_name:
        pairs.append((EQUAL_AUDIO, "ssl_mse", 1.05))
    pairs += [(name, name + NAIVE, 0.75) for name in by_name if name + NAIVE in by_name]
    pairs += [(name + KEPT, name, 0.75) for name in by_name if name + KEPT in by_name]
    pairs += [(name, name + STOCK, None) for name in by_name if name + STOCK in by_name]
    claims = [{"a": a, "b": b, "at_most": limit, **ratios(by_name[a], by_name[b])} for a, b, limit in pairs]
    return {"rows": rows, "claims": claims}


def to_markdown(summary: dict[str, Any], settings: dict[str, Any], environment: dict[str, str]) -> str:
    """The tables of the run."""
    lines = [
        "# Time and memory of a joint update",
        "",
        f"{settings['upstream']} (random weights), {len(settings['seconds'])} utterances of "
        f"{', '.join(f'{s:g}' for s in settings['seconds'])} s, {settings['device']}, {settings['threads']} threads, "
        f"{settings['rounds']} rounds: median (least to largest).",
        "",
        "| step | seconds | CPU seconds | peak memory, MiB |",
        "|---|---|---|---|",
    ]
    for row in summary["rows"]:
        spread = f"{row['seconds']:.2f} ({row['seconds_min']:.2f} to {row['seconds_max']:.2f})"
        lines.append(f"| {row['name']} | {spread} | {row['work']:.2f} | {row['peak_mib']:.0f} |")
    lines += ["", "| ratio, within rounds | median | least to largest | target |", "|---|---|---|---|"]
    for claim in summary["claims"]:
        spread = f"{claim['min']:.3f} to {claim['max']:.3f}"
        target = "" if claim["at_most"] is None else f"at most {claim['at_most']:.2f}"
        lines.append(f"| {claim['a']} / {claim['b']} | {claim['median']:.3f} | {spread} | {target} |")
    lines += ["", "| environment | |", "|---|---|", *(f"| {key} | {value} |" for key, value in environment.items())]
    return "\n".join(lines) + "\n"


def write(out: Path, markdown: str, content: dict[str, Any]) -> None:
    """Write joint_step.md and joint_step.json, each as a whole."""
    write_text(out / "joint_step.md", markdown)
    write_text(out / "joint_step.json", json.dumps(content, indent=1) + "\n")


@dataclass(frozen=True)
class Settings:
    """What the run was made with."""

    upstream: str
    seconds: list[float]
    device: str
    threads: int
    rounds: int
    bf16: bool


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = " (default: %(default)s)"
    add = parser.add_argument
    add("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES, help="steps to measure" + default)
    add("--naive", nargs="*", choices=OBJECTIVES[1:], default=["ssl_mse"], help="also without sharing" + default)
    add(
        "--kept",
        nargs="*",
        choices=["ssl_mse", "ssl_soft_dtw"],
        default=["ssl_mse"],
        help="also with references kept" + default,
    )
    add("--stock", nargs="*", choices=OBJECTIVES, default=["ssl_mse"], help="also with padding seen" + default)
    add("--seconds", nargs="+", type=float, default=[12.0, 8.0, 4.0], help="utterances of the batch" + default)
    add("--rounds", type=int, default=5, help="updates of each step that are measured" + default)
    add("--upstream", default="hubert_base", help="a torchaudio bundle in lower case" + default)
    add("--device", type=torch.device, default="cpu", help="cpu or cuda" + default)
    add("--threads", type=int, default=os.cpu_count(), help="of the CPU" + default)
    add("--bf16", action="store_true", help="train under bfloat16 autocast" + default)
    add("--out", type=Path, help="folder for joint_step.json and joint_step.md (default: print only)")
    args = parser.parse_args()
    longest, *others = sorted(args.seconds, reverse=True)
    if "ssl_soft_dtw" in args.objectives and abs(longest - sum(others)) > 0.01:
        parser.error("--seconds: the longest must last as long as all others together, for ssl_soft_dtw=")
    if args.rounds < 1:
        parser.error("--rounds: give 1 or more")
    return args


def main() -> None:
    """Measure and print."""
    args = parse()
    torch.set_num_threads(args.threads)
    settings = asdict(Settings(args.upstream, args.seconds, str(args.device), args.threads, args.rounds, args.bf16))
    get_shared_upstream(args.upstream, pretrained=False).backbone.model(args.device)
    with tempfile.TemporaryDirectory() as folder:
        variants = make_variants(args, Path(folder), make_batch(args.seconds, args.device))
    settings["rounds"] = measure_until_interrupted(variants, rounds=args.rounds, device=args.device)
    environment = describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z"))
    summary = summarize(variants)
    markdown = to_markdown(summary, settings, environment)
    print(markdown)
    if args.out:
        write(args.out, markdown, {"settings": settings, "environment": environment, **summary})


if __name__ == "__main__":
    main()
