#!/usr/bin/env python3
"""Joint updates of the package in a tree, for benchmarks/joint_step_against.py, which starts this.

    benchmarks/joint_updates.py TREE FOUND.pt --objectives NAMES --seconds S --updates N --threads N --upstream NAME

FOUND.pt holds of each objective the loss and the gradients of the first update, and of each measured update elapsed
seconds, CPU seconds and the peak of memory beyond what was held. The package and joint_step.py are those of TREE.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

KEPT, WARM_KEPT = ", kept", 8


def work(args: argparse.Namespace) -> None:
    """Measure and save."""
    sys.path[:0] = [str(args.tree / "benchmarks"), str(args.tree)]
    import joint_step

    import espnet_plugins

    assert Path(espnet_plugins.__file__).is_relative_to(args.tree), espnet_plugins.__file__
    torch.set_num_threads(args.threads)
    device = torch.device("cpu")
    upstream = {"model": args.upstream, "pretrained": False}
    torch.manual_seed(0)
    joint_step.get_shared_upstream(args.upstream, pretrained=False).backbone.model(device)
    batch = joint_step.make_batch(args.seconds, device)
    peak, found = joint_step.Peak(device), {}
    for name in args.objectives:
        # Kept frames are a switch that only the newer package has.
        objective, kept = name.removesuffix(KEPT), name.endswith(KEPT)
        with tempfile.TemporaryDirectory() as folder:
            torch.manual_seed(0)
            how = {"kept": True} if kept else {}
            model = joint_step.build(objective, upstream, Path(folder), **how).train()
        torch.manual_seed(1)
        loss, *_ = model(**batch)
        loss.backward()
        gradients = {key: value.grad.clone() for key, value in model.named_parameters() if value.grad is not None}
        model.zero_grad(set_to_none=True)
        step = joint_step.make_step(model, batch, naive=False, autocast=False)
        # What is kept must be there: of each utterance at each speed, which is drawn.
        for _ in range(WARM_KEPT if kept else 1):
            step()
        taken = []
        for _ in range(args.updates):
            peak.start()
            begun, worked = time.perf_counter(), time.process_time()
            step()
            taken.append((time.perf_counter() - begun, time.process_time() - worked, peak.stop()))
        found[name] = {"loss": loss.detach(), "gradients": gradients, "taken": taken}
    torch.save(found, args.found)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("found", type=Path)
    parser.add_argument("--objectives", nargs="+", required=True)
    parser.add_argument("--seconds", nargs="+", type=float, required=True, help="utterances of the batch")
    parser.add_argument("--updates", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    work(parser.parse_args())


if __name__ == "__main__":
    main()
