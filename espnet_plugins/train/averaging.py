"""Averages of a training's best models, each made of the epochs' own weights."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from espnet2.main_funcs.average_nbest_models import average_nbest_models
from espnet2.train import trainer
from espnet2.train.reporter import Reporter


def average_models(
    *,
    reporter: Reporter,
    output_dir: Path,
    best_model_criterion: Sequence[Sequence[str]],
    nbest: int | Sequence[int],
    **options: Any,
) -> None:
    """Average the best models as ESPnet does, one average at a time.

    ESPnet adds the others to the weights of the best epoch in place and keeps these for its next average: of several
    criteria, or several numbers of models, all averages but the first are wrong.

    Args:
        reporter: Knows every epoch's values.
        output_dir: Of the training; holds `3epoch.pth`, ..., and gets `valid.loss.ave_5best.pth`, ...
        best_model_criterion: (phase, name, mode) of each criterion.
        nbest: How many models are averaged; of several numbers, each gives a file of its own.
        options: As of ESPnet's function.
    """
    numbers = sorted({nbest} if isinstance(nbest, int) else {*nbest})
    for phase, name, mode in best_model_criterion:
        if not reporter.has(phase, name):
            continue
        n_epochs = len(reporter.sort_epochs_and_values(phase, name, mode))
        possible = [number for number in numbers if number <= n_epochs] or [1]
        if possible[-1] < numbers[-1]:
            logging.warning(
                f"{phase}.{name}: {numbers[-1]} models should be averaged (keep_nbest_models) and there are {n_epochs} "
                f"epochs: the result is {'the best model alone' if possible[-1] == 1 else f'that of {possible[-1]}'}"
            )
        # In this order: ESPnet lets `ave.pth` lead to what was made last.
        for number in possible:
            average_nbest_models(
                reporter=reporter,
                output_dir=output_dir,
                best_model_criterion=[(phase, name, mode)],
                nbest=number,
                **options,
            )


@contextmanager
def separate_averages() -> Iterator[None]:
    """Let ESPnet's trainer average with average_models()."""
    stock = trainer.average_nbest_models
    trainer.average_nbest_models = average_models
    try:
        yield
    finally:
        trainer.average_nbest_models = stock
