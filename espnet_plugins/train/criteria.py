"""What a training selects its model by, checked before the first update: ESPnet looks when all is trained."""

from __future__ import annotations

import dataclasses
import fnmatch
import logging
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
from espnet2.schedulers.abs_scheduler import AbsValEpochStepScheduler
from espnet2.torch_utils.device_funcs import to_device
from espnet2.train.reporter import SubReporter

from espnet_plugins.checks import check_choice
from espnet_plugins.train import random_state

PHASES = ("train", "valid")
MODES = ("min", "max")
# What ESPnet's trainer reports beside the model's own statistics.
# ESPnet's default, of which it takes what there is.
_DEFAULT_BEST = [("train", "loss", "min"), ("valid", "loss", "min"), ("train", "acc", "max"), ("valid", "acc", "max")]
_OF_THE_TRAINER = {"train": ("*_time", "grad_norm", "clip", "loss_scale", "optim*_lr*"), "valid": ()}


@dataclasses.dataclass(frozen=True)
class Criterion:
    """A reported number that an option of the training names.

    Args:
        option: What the option is called.
        phase: "train" or "valid".
        name: Key of the model's statistics.
    """

    option: str
    phase: str
    name: str

    @classmethod
    def from_option(cls, option: str, value: Any, *, with_mode: bool = True) -> Criterion:
        """Make it from what the YAML says.

        Args:
            option: What the option is called.
            value: ``[phase, name, mode]``, or ``[phase, name]`` where not `with_mode`.
            with_mode: Whether the option has a mode.

        Raises:
            ValueError: For anything else, naming the option and what it accepts.

        Example:
            >>> Criterion.from_option("best_model_criterion", ["valid", "loss", "least"])
            Traceback (most recent call last):
            ValueError: best_model_criterion: mode: 'least' is not accepted; give one of 'min', 'max'
        """
        form = "[phase, name, mode], e.g. [valid, loss, min]" if with_mode else "[phase, name], e.g. [valid, loss]"
        parts = list(value) if isinstance(value, (list, tuple)) else []
        if len(parts) != (3 if with_mode else 2) or not all(isinstance(part, str) for part in parts):
            raise ValueError(f"{option}: {value!r} is not accepted; give {form}")
        check_choice(f"{option}: phase", parts[0], PHASES)
        if with_mode:
            check_choice(f"{option}: mode", parts[2], MODES)
        return cls(option, parts[0], parts[1])


def chosen_criteria(options: Any, schedulers: Iterable[Any]) -> list[Criterion]:
    """The criteria that a training will look up.

    Args:
        options: ESPnet's trainer options.
        schedulers: Of the optimizers; None for none.

    Returns:
        Those of the best model, and of early stopping and of the scheduler where these are in use.

    Raises:
        ValueError: For an option of another form, or a number of models to keep below 1.
    """
    kept = options.keep_nbest_models
    for number in kept if isinstance(kept, (list, tuple)) else [kept]:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(f"keep_nbest_models: {kept!r} is not accepted; give whole numbers from 1")
    best = options.best_model_criterion
    if not isinstance(best, (list, tuple)) or not best or isinstance(best[0], str):
        raise ValueError(f"best_model_criterion: {best!r} is not accepted; give a list, e.g. [[valid, loss, min]]")
    if [tuple(value) for value in best if isinstance(value, (list, tuple))] == _DEFAULT_BEST:
        best = [value for value in best if value[1] == "loss"]
    chosen = [Criterion.from_option("best_model_criterion", value) for value in best]
    if options.patience is not None:
        chosen.append(Criterion.from_option("early_stopping_criterion", options.early_stopping_criterion))
    if any(isinstance(scheduler, AbsValEpochStepScheduler) for scheduler in schedulers):
        value = options.val_scheduler_criterion
        chosen.append(Criterion.from_option("val_scheduler_criterion", value, with_mode=False))
    return chosen


def check_reported(criteria: Iterable[Criterion], phase: str, reported: Collection[str]) -> None:
    """Raise where a criterion is none of the numbers that are reported.

    Args:
        criteria: What the training will look up.
        phase: "train" or "valid"; criteria of the other are left alone.
        reported: Names of the model's statistics in this phase.

    Raises:
        ValueError: Naming the option, the criterion and what is reported.

    Example:
        >>> check_reported([Criterion("best_model_criterion", "valid", "si_snr")], "valid", ["loss", "si_snr_loss"])
        Traceback (most recent call last):
        ValueError: best_model_criterion: the model reports no 'si_snr' in valid; give one of loss, si_snr_loss
    """
    for criterion in criteria:
        known = [*reported, *_OF_THE_TRAINER[phase]]
        if criterion.phase == phase and not any(fnmatch.fnmatchcase(criterion.name, name) for name in known):
            raise ValueError(
                f"{criterion.option}: the model reports no '{criterion.name}' in {phase}; "
                f"give one of {', '.join(sorted(reported))}"
            )


def reported_names(output: Any) -> list[str]:
    """The names of the statistics that a model's forward gave; those without a value are not reported."""
    stats = output["stats"] if isinstance(output, dict) else output[1]
    return [name for name, value in stats.items() if value is not None]


def check_validation(criteria: Sequence[Criterion], model: torch.nn.Module, factory: Any, options: Any) -> None:
    """Validate on one batch, and raise where a criterion of the validation is not reported.

    The random state is that of before: what is trained afterwards is the same.

    Args:
        criteria: What the training will look up.
        model: ESPnet's model, where it is trained.
        factory: ESPnet's factory of iterators over the validation data.
        options: ESPnet's trainer options.

    Raises:
        ValueError: As of check_reported().
    """
    if not any(criterion.phase == "valid" for criterion in criteria):
        return
    before = random_state.capture()
    ids, batch = next(iter(factory.build_iter(1)), (None, None))
    if batch is not None:
        device = "cuda" if options.ngpu > 0 else "cpu"
        training = model.training
        model.eval()
        with torch.no_grad(), torch.autocast(device, enabled=options.use_amp):
            output = model(**to_device({**batch, "utt_id": ids}, device))
        model.train(training)
        check_reported(criteria, "valid", reported_names(output))
    random_state.restore(before)


def check_first_forward(criteria: Sequence[Criterion], model: torch.nn.Module) -> None:
    """Let the model's first forward in training raise where a criterion of the training is not reported."""
    if not any(criterion.phase == "train" for criterion in criteria):
        return

    def check(module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        if module.training:
            handle.remove()
            check_reported(criteria, "train", reported_names(output))

    handle = model.register_forward_hook(check)


def check_numbers(criteria: Iterable[Criterion], phase: str, reporter: SubReporter) -> None:
    """Look at what an epoch reported of the numbers that decide.

    ESPnet's mean leaves out what is not finite, and where that is all, the epoch's value is NaN, which it sorts among
    the others anywhere: such a model could be the best one.

    Args:
        criteria: What the training looks up.
        phase: "train" or "valid", of which the reporter is.
        reporter: Of the epoch.

    Raises:
        RuntimeError: When a number was finite in no batch.
    """
    for name in dict.fromkeys(criterion.name for criterion in criteria if criterion.phase == phase):
        items = reporter.stats.get(name, ())
        # A batch without weight, of silent references alone, has no part in the mean.
        values = [float(item.value) for item in items if getattr(item, "weight", 1)]
        lost = sum(not math.isfinite(value) for value in values)
        where = f"epoch {reporter.get_epoch()}: {phase} {name}"
        if items and lost == len(values):
            raise RuntimeError(
                f"{where} is no finite number in any of {len(items)} batches: no model can be chosen by it. Look in "
                "the log for what it says of silent references and criteria that are not defined; then mend the data, "
                "choose another criterion or a smaller learning rate"
            )
        if lost:
            logging.warning(f"{where}: left out {lost} of {len(values)} batches, where it is no finite number")
