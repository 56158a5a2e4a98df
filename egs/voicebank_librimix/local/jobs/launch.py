"""Starting a training: alone, or as the ranks of a distributed one; on node-local copies of its audio.

    python3 -m local.jobs.launch PROGRAM OPTIONS        (PROGRAM: a module of espnet_plugins.bin)

On a cluster this is one process per node (srun), and ESPnet's launcher starts one per GPU.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.common.errors import OptionError, RecipeError
from local.common.program import run_main
from local.jobs.placement import Placement
from local.jobs.processes import REQUEUE


def training_prefix(program: str, ngpu: int) -> list[str]:
    """The command that starts a training program in this place, without the program's options.

    Args:
        program: A module of espnet_plugins.bin.
        ngpu: GPUs per node.

    Returns:
        The program itself for one process on the user's machine; else the launcher in front of it.

    Example:
        >>> training_prefix("enh_train", 0)[1:]
        ['-m', 'espnet_plugins.bin.enh_train']
    """
    placement = Placement.here()
    if placement.launcher or ngpu > 1 or placement.scratch:
        return [*shlex.split(placement.launcher), sys.executable, "-m", "local.jobs.launch", program]
    return [sys.executable, "-m", f"espnet_plugins.bin.{program}"]


def distribution_options(config: Mapping[str, Any], *, ngpu: int, out: Path) -> list[str]:
    """ESPnet's options for a training in this place; none for one process on the user's machine.

    The global batch is that of one process: ESPnet shares each batch among the ranks. An epoch of its chunk
    iterator counts the utterances of each rank; they are shared here.

    Args:
        config: ESPnet's configuration.
        ngpu: GPUs per node.
        out: The experiment, on a file system that every node sees: the ranks meet in a file there.

    Returns:
        Options of espnet2's training programs.

    Raises:
        OptionError: When a batch has fewer chunks than there are ranks.
    """
    placement = Placement.here()
    minutes, nodes, processes = placement.checkpoint_minutes, placement.nodes, placement.processes
    options = ["--checkpoint_minutes", str(minutes)] if minutes > 0 else []
    count = placement.ranks(ngpu)
    if count == 1:
        return options
    # With a frozen part or one objective alone, some parameters have no gradient.
    options += ["--unused_parameters", "true", "--dist_backend", "nccl" if ngpu else "gloo"]
    options += ["--multiprocessing_distributed", str(processes == 1).lower()]
    if nodes > 1 or processes > 1:
        for old in out.glob(".ranks.*"):
            old.unlink()
        options += ["--dist_init_method", f"file://{out / f'.ranks.{os.getpid()}.{time.time_ns()}'}"]
        if processes == 1:
            options += ["--dist_launcher", "slurm"]
    if config.get("iterator_type") == "chunk":
        if config["batch_size"] < count:
            raise OptionError(f"batch_size {config['batch_size']} cannot be shared among {count} ranks: use fewer")
        options += ["--num_iters_per_epoch", str(config["num_iters_per_epoch"] // count)]
    return options


def _stop_early(number: int, _frame) -> None:
    """Before the trainer listens itself there is nothing to save; the ranks of a node save for themselves."""
    ranks_here = multiprocessing.active_children()
    if not ranks_here:
        os._exit(REQUEUE)
    for process in ranks_here:
        if process.pid is not None:
            os.kill(process.pid, number)


def scratch_folder(text: str) -> Path:
    """The directory that --local_scratch means on this node.

    Args:
        text: A path in which variables of the job may stand.

    Raises:
        OptionError: When the job lacks one of them, or the path is none from the root on.

    Example:
        >>> os.environ["NODE_DISK"] = "/disk"
        >>> str(scratch_folder("$NODE_DISK/copies"))
        '/disk/copies'
    """
    folder = os.path.expandvars(text)
    if "$" in folder:
        raise OptionError(f"--local_scratch {text}: this job has no such variable; name another, or a directory")
    if not folder.startswith("/"):
        raise OptionError(f"--local_scratch {text}: give a path from the root on, the same on every node")
    return Path(folder)


def main() -> None:
    """Become a rank of the training, or the parent of this node's ranks."""
    program, *options = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _stop_early)
    placement = Placement.here()
    if placement.scratch:
        from local.jobs.scratch import stage_options

        options = stage_options(options, scratch_folder(placement.scratch))
    if placement.processes > 1:
        # Several ranks per node are no case of ESPnet's Slurm launcher: they are told their places.
        os.environ.update(RANK=os.environ["SLURM_PROCID"], WORLD_SIZE=os.environ["SLURM_NTASKS"])
    module = importlib.import_module(f"espnet_plugins.bin.{program}")
    sys.argv = [f"{program}.py", *options]
    from torch.multiprocessing.spawn import ProcessExitedException

    try:
        module.main()
    except ProcessExitedException as error:
        if error.exit_code == REQUEUE:
            sys.exit(REQUEUE)
        raise RecipeError(f"a rank of the training ended with exit code {error.exit_code}") from error


if __name__ == "__main__":
    run_main(main)
