#!/usr/bin/env python3
"""Real-time factors of front-ends on one core: torch and ONNX, a whole utterance and a stream.

    benchmarks/onnx_speed.py [--seconds 4] [--rounds 5]

Front-ends of the recipe (conf/front_ends) with random weights, which cost the same; Conv-TasNet made causal, and Demucs
in its published size dns48, too. CPU seconds per second of audio in one thread, median and range of the rounds; all
take turns within a round. A stream is fed hop by hop, a microphone's way; torch has none of Conv-TasNet.
"""

from __future__ import annotations

import argparse
import copy
import shlex
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml

from espnet_plugins.analysis.comparison.tables import Table
from espnet_plugins.analysis.report.environment import describe_environment
from espnet_plugins.enh.demucs_separator import DemucsSeparator
from espnet_plugins.enh.demucs_stream import DemucsStream
from espnet_plugins.enh.gtcrn_separator import GTCRNSeparator
from espnet_plugins.enh.gtcrn_stream import GTCRNStream
from espnet_plugins.inference import Enhancer
from espnet_plugins.onnx_export import export_onnx
from espnet_plugins.tasks import EnhTask

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))
from onnx_enhancer import OnnxEnhancer, OnnxStream  # noqa: E402

CONF = ROOT / "egs" / "voicebank_librimix" / "conf" / "front_ends"
_PARTS = ("encoder", "separator", "mask_module", "decoder")


def front_ends() -> dict[str, dict]:
    """The settings of each front-end."""
    found = {name: yaml.safe_load((CONF / f"{name}.yaml").read_text("utf-8")) for name in ("gtcrn", "demucs")}
    found["demucs, dns48"] = copy.deepcopy(found["demucs"])
    found["demucs, dns48"]["separator_conf"] = {"hidden": 48, "depth": 5, "resample": 4, "causal": True}
    causal = yaml.safe_load((CONF / "conv_tasnet.yaml").read_text("utf-8"))
    causal["separator_conf"] |= {"causal": True, "norm_type": "cLN"}
    return {**found, "conv_tasnet, causal": causal}


def save(settings: dict, folder: Path) -> Path:
    """Leave an untrained front-end as a training does."""
    parts = {name: settings.get(name) for name in _PARTS}
    conf = {f"{name}_conf": settings.get(f"{name}_conf") or {} for name in (*_PARTS, "model")}
    settings = {**parts, **conf, "criterions": None, "init": None}
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    torch.save(EnhTask.build_model(Namespace(**settings)).state_dict(), folder / "model.pth")
    return folder


def streamed(stream, waveform, hop_length: int) -> None:
    """Feed a stream hop by hop."""
    for start in range(0, len(waveform), hop_length):
        stream.feed(waveform[start : start + hop_length])
    stream.finish()


def ways(settings: dict, folder: Path, waveform: np.ndarray) -> tuple[dict[str, Callable[[], object]], dict, float]:
    """The ways through one front-end, what the metadata of its stream say, and its millions of parameters."""
    model = save(settings, folder / "model")
    enhancer = Enhancer.from_checkpoint(model)
    whole = OnnxEnhancer(str(export_onnx(model, folder / "whole.onnx").path))
    stream = str(export_onnx(model, folder / "stream.onnx", stream=True).path)
    facts = OnnxStream(stream).facts
    # Opened once, as a program would.
    opened = OnnxStream(stream, level=0.1)
    hop_length, separator, samples = facts["hop_length"], enhancer.model.separator, torch.from_numpy(waveform)
    found: dict[str, Callable[[], object]] = {
        "torch": lambda: enhancer(waveform, enhancer.rate),
        "ONNX": lambda: whole(waveform),
        "ONNX, stream": lambda: streamed(copy.copy(opened), waveform, hop_length),
    }
    if isinstance(separator, DemucsSeparator):
        demucs = separator.demucs
        found["torch, stream"] = lambda: streamed(DemucsStream(demucs, std=0.1), samples, hop_length)
    elif isinstance(separator, GTCRNSeparator):
        found["torch, stream"] = lambda: streamed(GTCRNStream(separator.gtcrn), samples, hop_length)
    return found, facts, sum(parameter.numel() for parameter in enhancer.model.parameters()) / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="of audio (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    waveform = (0.1 * rng.standard_normal(round(args.seconds * 16000))).astype(np.float32)
    columns = ("torch", "ONNX", "torch, stream", "ONNX, stream")
    rows = []
    for name, settings in front_ends().items():
        with tempfile.TemporaryDirectory() as folder:
            found, facts, millions = ways(settings, Path(folder), waveform)
            factors: dict[str, list[float]] = {way: [] for way in found}
            # The first round is not counted.
            for measured in range(args.rounds + 1):
                for way, enhance in found.items():
                    start = time.process_time()
                    enhance()
                    if measured:
                        factors[way].append((time.process_time() - start) / args.seconds)
        cells = [
            f"{statistics.median(factors[way]):.3f} ({min(factors[way]):.3f} to {max(factors[way]):.3f})"
            if way in factors
            else "-"
            for way in columns
        ]
        hop, delay = (f"{1000 * facts[key] / 16000:.3g}" for key in ("hop_length", "delay"))
        rows.append([name, f"{millions:.3g}", hop, delay, *cells])
    described = describe_environment(shlex.join(sys.argv), date=time.strftime("%F %T %Z"))
    print("\n".join(f"{name}: {value}" for name, value in described.items()) + "\n")
    print(Table(["front-end", "million parameters", "hop (ms)", "delay (ms)", *columns], rows).plain())


if __name__ == "__main__":
    main()
