"""Signal quality of enhanced speech, through the field's libraries."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from espnet_plugins.analysis.scoring.listeners import (
    DISTILLMOS,
    DNSMOS,
    MissingNetwork,
    measure_distillmos,
    measure_dnsmos,
)

# In the order of the tables. STOI and ESTOI in per cent, SI-SDR and SDR in dB, PESQ as MOS-LQO.
METRICS = ("stoi", "estoi", "sdr", "si_sdr", "pesq")
# Networks that judge without a reference -> the values that each gives.
LISTENERS = {"dnsmos": DNSMOS, "distillmos": DISTILLMOS}
# SDR and SI-SDR in dB: distortion further below the speech than that of 16 bits is none, and an estimate that is
# perfect but for rounding has its place in a mean.
MOST_DECIBEL = 100.0
_DISTORTION_TAPS = 512
# What is said below a table of these metrics.
DEFINITIONS = (
    "STOI and ESTOI in per cent, PESQ wideband (MOS-LQO). SI-SDR and SDR in dB, of signals whose mean is taken off (a "
    "constant offset is no distortion), SDR as in BSS-eval with a distortion filter of 512 taps; both are capped at "
    f"{MOST_DECIBEL:g} dB, which a perfect estimate has."
)


@contextlib.contextmanager
def _same_noise() -> Iterator[None]:
    """numpy's global random state from one seed, and back: pystoi adds noise of 1e-16 before it divides."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _stoi(reference: np.ndarray, estimate: np.ndarray, rate: int, *, extended: bool) -> float:
    import warnings

    from pystoi import stoi

    with warnings.catch_warnings(), _same_noise():
        # pystoi warns and returns 1e-5 where too little speech remains: that is no score.
        warnings.simplefilter("error", RuntimeWarning)
        return 100.0 * float(stoi(reference, estimate, rate, extended=extended))


def _distortion(reference: np.ndarray, estimate: np.ndarray, *, name: str) -> float:
    import torch
    from torchmetrics.functional import audio

    if np.array_equal(reference, estimate):
        return MOST_DECIBEL
    if name.startswith("signal") and len(reference) <= _DISTORTION_TAPS:
        raise ValueError(f"SDR takes more than {_DISTORTION_TAPS} samples: a filter of so many makes any signal of any")
    distortion: Callable = getattr(audio, name)
    value = float(distortion(torch.from_numpy(estimate), torch.from_numpy(reference), zero_mean=True))
    # SDR is c / (1 - c) of a coherence c, which rounding takes to one or above where the estimate is perfect.
    return MOST_DECIBEL if np.isnan(value) else min(value, MOST_DECIBEL)


def _pesq(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    from pesq import PesqError, pesq

    if rate not in (8000, 16000):
        raise ValueError(f"PESQ is defined at 8 and 16 kHz, not at {rate} Hz")
    # pesq 0.0.4 brings the largest value of both to full scale of 16 bits: one click far above it would round the noise
    # away, and be rewarded for it (findings/pesq_rises_with_a_click.sh).
    full_scale = max(1.0, float(np.abs(reference).max()))
    heard = np.clip(estimate, -full_scale, full_scale)
    try:
        return float(pesq(rate, reference, heard, "wb" if rate == 16000 else "nb"))
    except PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error


def measure_quality(
    reference: np.ndarray,
    estimate: np.ndarray,
    rate: int,
    *,
    metrics: Sequence[str] = METRICS,
    dnsmos: Path | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Measure how close an estimate is to its reference, and how it would please.

    The same signals give the same values, bit for bit, whatever was drawn or measured before. PESQ's library can end
    the process on recordings of more than 50 phrases; where that matters, measure in another process.

    Args:
        reference: Clean speech, shape (T,).
        estimate: Enhanced or noisy speech, shape (T,).
        rate: Sampling rate in Hz.
        metrics: Which of METRICS and LISTENERS.
        dnsmos: Folder of the networks for DNSMOS; by default those of the package speechmos.

    Returns:
        Metric -> value for those that could be measured (STOI and ESTOI in per cent, SI-SDR and SDR in dB and at most
        MOST_DECIBEL, wideband PESQ as MOS-LQO, those of LISTENERS from 1 to 5), and metric -> reason for those that
        could not.

    Raises:
        ValueError: When a metric is unknown, or a network or its package is missing.

    Example:
        >>> speech = np.sin(np.arange(16000) / 20)
        >>> values, reasons = measure_quality(speech, speech + 0.1, 16000, metrics=["si_sdr"])
        >>> values["si_sdr"] > 60, reasons  # a constant offset is no distortion
        (True, {})

    Source:
        PESQ: ITU-T P.862.2. STOI: Taal et al. 2011. ESTOI: Jensen and Taal 2016. SI-SDR: Le Roux et al. 2019. SDR:
        BSS-eval (Vincent et al. 2006) with a distortion filter of 512 taps. For both the mean of either signal is
        taken off first: Le Roux et al. assume it, BSS-eval does not do it and counts an offset as distortion.
    """
    functions: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "stoi": lambda ref, est: _stoi(ref, est, rate, extended=False),
        "estoi": lambda ref, est: _stoi(ref, est, rate, extended=True),
        "sdr": lambda ref, est: _distortion(ref, est, name="signal_distortion_ratio"),
        "si_sdr": lambda ref, est: _distortion(ref, est, name="scale_invariant_signal_distortion_ratio"),
        "pesq": lambda ref, est: _pesq(ref, est, rate),
    }
    listeners: dict[str, Callable[[np.ndarray], dict[str, float]]] = {
        "dnsmos": lambda est: measure_dnsmos(est, rate, folder=dnsmos),
        "distillmos": lambda est: measure_distillmos(est, rate),
    }
    unknown = [metric for metric in metrics if metric not in functions and metric not in listeners]
    if unknown:
        raise ValueError(f"unknown metric '{unknown[0]}': choose from {', '.join((*METRICS, *LISTENERS))}")
    problem = _mismatch(reference, estimate)
    if problem:
        return {}, dict.fromkeys(metrics, problem)
    reference, estimate = (np.ascontiguousarray(signal, dtype=np.float64) for signal in (reference, estimate))
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        try:
            found = (
                listeners[metric](estimate) if metric in listeners else {metric: functions[metric](reference, estimate)}
            )
        except (MissingNetwork, ImportError):
            raise
        # Whatever a library makes of one utterance costs that one's value.
        except Exception as error:
            reasons[metric] = str(error).splitlines()[0] if str(error) else type(error).__name__
            continue
        if np.isfinite([*found.values()]).all():
            values |= found
        else:
            reasons[metric] = "not a number"
    return values, reasons


def _mismatch(reference: np.ndarray, estimate: np.ndarray) -> str:
    if reference.ndim != 1 or estimate.ndim != 1:
        return f"expected one channel, found shapes {reference.shape} and {estimate.shape}"
    if len(reference) != len(estimate):
        return f"the reference has {len(reference)} samples, the estimate {len(estimate)}"
    if not (np.isfinite(reference).all() and np.isfinite(estimate).all()):
        return "the signal contains values that are not finite"
    # Libraries answer silence with an arbitrary number (0 dB, 0 %), which would pass for a score.
    for name, signal in (("reference", reference), ("estimate", estimate)):
        if signal.size == 0 or np.ptp(signal) == 0:
            return f"the {name} is silent"
    return ""


def spread(ids: Sequence[str], count: int | None) -> list[str]:
    """Choose `count` ids evenly over a sorted list, so that speakers and conditions stay represented.

    Args:
        ids: Utterance ids in any order.
        count: How many; all of them when it exceeds their number, or for None.

    Example:
        >>> spread(["d", "a", "c", "b"], 2)
        ['a', 'c']
    """
    ordered = sorted(ids)
    count = len(ordered) if count is None else min(count, len(ordered))
    return [ordered[i * len(ordered) // count] for i in range(count)]
