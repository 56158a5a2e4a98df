"""ESPnet's trainer, made safe against being killed at any moment and resumable at any update."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from espnet2.train.trainer import Trainer, TrainerOptions
from espnet2.utils.build_dataclass import build_dataclass

from espnet_plugins.schedule import schedules
from espnet_plugins.train import checkpoint as checkpoints
from espnet_plugins.train import position, random_state
from espnet_plugins.train.averaging import separate_averages
from espnet_plugins.train.criteria import (
    Criterion,
    check_first_forward,
    check_numbers,
    check_validation,
    chosen_criteria,
)
from espnet_plugins.train.memory import record_peak_memory
from espnet_plugins.train.preemption import REQUEUE, StopRequest

_GO, _SAVE, _STOP = 0, 1, 2


@dataclasses.dataclass
class ResumableOptions(TrainerOptions):
    """ESPnet's options, the time between two checkpoints inside an epoch (0: only when asked to stop), and the updates
    between two models that are kept (0: those of ESPnet alone)."""

    checkpoint_minutes: float = 0.0
    keep_every_updates: int = 0


class _Session:
    """One call of the trainer: where it stands, what it saves in the middle of an epoch, where it goes on."""

    def __init__(self, *, model, optimizers, schedulers, options: ResumableOptions, distributed: bool):
        self.model, self.optimizers, self.schedulers = model, optimizers, schedulers
        self.options, self.distributed = options, distributed
        self.scaler: Any = None
        self.schedules = list(schedules(model))
        # What the best model, early stopping and the scheduler go by.
        self.criteria: list[Criterion] = []
        self.request = StopRequest()
        self.rank = torch.distributed.get_rank() if distributed else 0
        self.reporter: dict[str, Any] = {"stats": {}, "epoch": 0}
        self.train_reporter: Any = None
        self.updates = 0
        # The random state and the seconds of training, while a validation is running.
        self.before_validation: tuple[dict[str, Any], float] | None = None
        self.within: dict[str, Any] | None = None
        self.saved = time.monotonic()

    def remember(self, states: dict[str, Any]) -> None:
        """Keep the statistics of the finished epochs, which only ESPnet's own checkpoint names."""
        self.reporter = states["reporter"]

    def complete(self, states: dict[str, Any]) -> None:
        """Add to a checkpoint the gradients that wait for an update.

        ESPnet carries those of an epoch's last batches over to the next epoch where accum_grad does not divide the
        number of batches. DDP has made them the same on every rank.
        """
        self.remember(states)
        if gradients := {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}:
            states["gradients"] = gradients

    def pause(self) -> None:
        """Save, or save and stop, if it is time; every rank must call it at the same moment."""
        due = 0 < 60 * self.options.checkpoint_minutes < time.monotonic() - self.saved
        decision = self._agree(_STOP if self.request.signal else _SAVE if due else _GO)
        if decision == _GO:
            return
        self._save()
        if decision == _STOP:
            name = self.request.signal.name if self.request.signal else "another rank"
            epoch = self.train_reporter.get_epoch()
            logging.warning(f"Stopped by {name}: saved after update {self.updates} of epoch {epoch}")
            sys.exit(REQUEUE)

    def _agree(self, wish: int) -> int:
        if not self.distributed:
            return wish
        decision = torch.tensor(wish, device="cuda" if self.options.ngpu > 0 else "cpu")
        torch.distributed.all_reduce(decision, torch.distributed.ReduceOp.MAX)
        return int(decision)

    def _save(self) -> None:
        random, train = random_state.capture(), position.describe(self.train_reporter)
        if self.before_validation is not None:
            random, train["seconds"] = self.before_validation
        ranks: list[Any] = [{"random": random, "updates": self.updates}]
        if self.distributed:
            ranks *= torch.distributed.get_world_size()
            torch.distributed.all_gather_object(ranks, dict(ranks[0]))
        if self.rank == 0:
            done = self.reporter["epoch"]
            stats = {epoch: values for epoch, values in self.reporter["stats"].items() if epoch <= done}
            states = {
                "model": self.model.state_dict(),
                "reporter": {"stats": stats, "epoch": done},
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "schedulers": [scheduler.state_dict() if scheduler else None for scheduler in self.schedulers],
                "scaler": self.scaler.state_dict() if self.scaler else None,
                "within": {
                    "epoch": self.train_reporter.get_epoch(),
                    "updates": min(rank["updates"] for rank in ranks),
                    "train": train,
                    "random": [rank["random"] for rank in ranks],
                },
            }
            torch.save(states, Path(self.options.output_dir) / checkpoints.LATEST)
        if self.distributed:
            torch.distributed.barrier()
        self.saved = time.monotonic()

    def keep(self) -> None:
        """Keep the model where it has had as many updates as the options ask for, the starting point included."""
        every, batches = self.options.keep_every_updates, self.train_reporter.total_count
        number, rest = divmod(batches, self.options.accum_grad)
        if self.rank or every <= 0 or rest or number % every:
            return
        path = Path(self.options.output_dir) / checkpoints.KEPT / f"{number}.pth"
        # There already where the epoch before ended with it, or a training goes on from before it.
        if not path.exists():
            torch.save(self.model.state_dict(), path)

    def take(self, epoch: int) -> dict[str, Any] | None:
        """The place inside `epoch` to resume at, once."""
        within, self.within = self.within, None
        return within if within is not None and within["epoch"] == epoch else None

    def restore_random(self, within: dict[str, Any]) -> None:
        """Set the random state of this rank; a rank that was not there keeps that of the epoch's start."""
        if self.rank < len(within["random"]):
            random_state.restore(within["random"][self.rank])
        else:
            logging.warning(f"Rank {self.rank} was not there when the checkpoint was written: its draws begin anew")


class ResumableTrainer(Trainer):
    """ESPnet's Trainer whose interrupted run ends like the uninterrupted one.

    ESPnet resumes at the start of an epoch. Here a training that gets SIGTERM or SIGUSR1 finishes its update,
    saves model, optimizer, scheduler, statistics, place in the data and random states, and exits with code 75;
    started again, it goes on with the next update. Checkpoints are written atomically, one earlier is kept, a
    corrupt one is replaced by it, and files that belong to the checkpoint's epoch but had not been written are
    restored. Gradients that wait for an update (`accum_grad`) are part of it. With `--checkpoint_minutes` the same
    is saved at intervals, against a kill without warning. With `--keep_every_updates N` the model is kept after every
    N updates, as `updates/NUMBER.pth`: for a look at how a training went, which it does not change.
    """

    _session: _Session | None = None

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add the trainer's own options."""
        parser.add_argument(
            "--checkpoint_minutes",
            type=float,
            default=0.0,
            help="minutes between checkpoints inside an epoch; 0: only when asked to stop by SIGTERM or SIGUSR1",
        )
        parser.add_argument(
            "--keep_every_updates",
            type=int,
            default=0,
            help="updates between models that are kept as updates/NUMBER.pth; 0: none beside those of the epochs",
        )

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> ResumableOptions:
        """Collect the options of the trainer."""
        return build_dataclass(ResumableOptions, args)

    @classmethod
    def run(cls, *, model, optimizers, schedulers, trainer_options, distributed_option, **factories) -> None:
        """Train as ESPnet does, with atomic saves, from wherever the last call stopped.

        Raises:
            ValueError: Before the first update, for a criterion of the best model, of early stopping or of the
                scheduler that the model does not report.
        """
        criteria = chosen_criteria(trainer_options, schedulers)
        if not trainer_options.no_forward_run:
            check_validation(criteria, model, factories["valid_iter_factory"], trainer_options)
            check_first_forward(criteria, model)
        session = cls._session = _Session(
            model=model,
            optimizers=optimizers,
            schedulers=schedulers,
            options=trainer_options,
            distributed=distributed_option.distributed,
        )
        session.criteria = criteria
        # Weights to start from may come with the place at which another training ended; a checkpoint is read below.
        for schedule in session.schedules:
            schedule.restart()
        saves = checkpoints.atomic_saves(complete=session.complete)
        with saves, separate_averages(), session.request.listening():
            if trainer_options.resume and session.rank == 0:
                checkpoints.recover(Path(trainer_options.output_dir))
            if session.distributed:
                torch.distributed.barrier()
            super().run(
                model=model,
                optimizers=optimizers,
                schedulers=schedulers,
                trainer_options=trainer_options,
                distributed_option=distributed_option,
                **factories,
            )
            if session.rank == 0:
                record_peak_memory(Path(trainer_options.output_dir))

    @classmethod
    def resume(cls, checkpoint, model, reporter, optimizers, schedulers, scaler, ngpu=0, strict=True) -> None:
        """Load a checkpoint; restore the model file and the link of the epoch it ended if they are missing."""
        states = checkpoints.read(Path(checkpoint))
        model.load_state_dict(states["model"], strict=strict)
        reporter.load_state_dict(states["reporter"])
        stateful = [*zip(optimizers, states["optimizers"], strict=True)]
        stateful += zip(schedulers, states["schedulers"], strict=True)
        for part, state in [*stateful, (scaler, states["scaler"])]:
            if part is not None and state is not None:
                part.load_state_dict(state)
        gradients = states.get("gradients", {})
        for name, parameter in model.named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter.device)
        within, session = states.get("within"), cls._session
        if session is not None:
            session.remember(states)
            session.within = within
        logging.info(f"Resuming from {checkpoint}")
        if within is None and (session is None or session.rank == 0):
            _restore_epoch_files(Path(checkpoint).parent, reporter.get_epoch(), model)

    @classmethod
    def train_one_epoch(cls, *, model, iterator, reporter, scaler, options, **others) -> bool:
        """Train an epoch, or what is left of it; between two updates the training can be saved."""
        session = cls._session
        assert session is not None, "run() starts a session"
        session.train_reporter, session.scaler = reporter, scaler
        within = session.take(reporter.get_epoch())
        skip = within["updates"] if within else 0
        if within is not None:
            position.resume(reporter, within["train"])
            logging.info(f"Going on after update {within['updates']} of epoch {within['epoch']}")

        def between(updates: int) -> None:
            session.updates = updates
            if updates % options.accum_grad == 0:
                for schedule in session.schedules if updates > skip else ():
                    schedule.advance()
                session.keep()
                session.pause()

        batches = position.Boundaries(
            iterator,
            between=between,
            skip=skip,
            after_skip=lambda: session.restore_random(within) if within else None,
        )
        all_invalid = super().train_one_epoch(
            model=model, iterator=batches, reporter=reporter, scaler=scaler, options=options, **others
        )
        if not options.no_forward_run:
            _check_updates(reporter, session.updates // options.accum_grad, scaled=scaler is not None)
            check_numbers(session.criteria, "train", reporter)
        return all_invalid and not (within and "grad_norm" in within["train"]["stats"])

    @classmethod
    def validate_one_epoch(cls, *, iterator, reporter, options, **others) -> None:
        """Validate; a stop is saved as the moment before, since validation changes nothing.

        Raises:
            RuntimeError: When what the training selects by is no number in any batch.
        """
        session = cls._session
        assert session is not None, "run() starts a session"
        session.before_validation = (random_state.capture(), position.describe(session.train_reporter)["seconds"])
        batches = position.Boundaries(iterator, between=lambda _: session.pause())
        super().validate_one_epoch(iterator=batches, reporter=reporter, options=options, **others)
        session.before_validation = None
        if not options.no_forward_run:
            check_numbers(session.criteria, "valid", reporter)


# How often a loss scale may be found too large, and an update be lost by it, when a training begins.
_SCALE_SEARCH = 24


def _check_updates(reporter: Any, n_updates: int, *, scaled: bool) -> None:
    """Raise where most updates of an epoch taught nothing, before anything is saved as its result."""
    norms = [float(item.value) for item in reporter.stats.get("grad_norm", ())]
    lost = n_updates - sum(math.isfinite(norm) and norm > 0 for norm in norms)
    if lost > max(n_updates / 2, _SCALE_SEARCH if scaled else 0):
        raise RuntimeError(
            f"epoch {reporter.get_epoch()}: {lost} of {n_updates} updates taught nothing: their gradient was zero or "
            "not finite. Look in the log for what it says of silent references, criteria that are not defined and "
            "losses that are no numbers; then mend the data, choose another criterion (e.g. si_snr with clamp_db) or a "
            "smaller learning rate"
        )


def _restore_epoch_files(folder: Path, epoch: int, model: torch.nn.Module) -> None:
    """Write what belongs to the end of an epoch and a kill had prevented."""
    model_file = folder / f"{epoch}epoch.pth"
    if not model_file.exists():
        logging.warning(f"{model_file} is missing: restoring it from the checkpoint")
        torch.save(model.state_dict(), model_file)
    link = folder / "latest.pth"
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(model_file.name)
