"""Signal quality of enhanced speech, through the field's libraries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

_DNSMOS_ADDRESS = "https://github.com/microsoft/DNS-Challenge/raw/master/DNSMOS"

# In the order of the tables. STOI and ESTOI in per cent, SI-SDR and SDR in dB, PESQ as MOS-LQO.
METRICS = ("stoi", "estoi", "sdr", "si_sdr", "pesq")
# Without a reference, by networks that are not part of any package: speech, background and overall, 1 to 5.
DNSMOS = ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl")
# The networks' files, below a folder laid out as in Microsoft's DNS-Challenge repository.
DNSMOS_FILES = ("DNSMOS/sig_bak_ovr.onnx", "DNSMOS/model_v8.onnx")


def _stoi(reference: np.ndarray, estimate: np.ndarray, rate: int, *, extended: bool) -> float:
    import warnings

    from pystoi import stoi

    with warnings.catch_warnings():
        # pystoi warns and returns 1e-5 where too little speech remains: that is no score.
        warnings.simplefilter("error", RuntimeWarning)
        return 100.0 * float(stoi(reference, estimate, rate, extended=extended))


def _distortion(reference: np.ndarray, estimate: np.ndarray, *, name: str) -> float:
    import torch
    from torchmetrics.functional import audio

    if np.array_equal(reference, estimate):
        return float("inf")
    distortion: Callable = getattr(audio, name)
    return float(distortion(torch.from_numpy(estimate), torch.from_numpy(reference), zero_mean=True))


def _pesq(reference: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    from pesq import PesqError, pesq

    if rate not in (8000, 16000):
        raise ValueError(f"PESQ is defined at 8 and 16 kHz, not at {rate} Hz")
    try:
        return float(pesq(rate, reference, estimate, "wb" if rate == 16000 else "nb"))
    except PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error


def missing_for_dnsmos(folder: Path) -> str:
    """Say what DNSMOS lacks, a file or a package; empty when nothing."""
    for file in DNSMOS_FILES:
        if not (folder / file).is_file():
            return f"{folder / file} is missing: fetch it from {_DNSMOS_ADDRESS}/{file}"
    for package in ("onnxruntime", "librosa", "requests"):
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is missing: install the extra `dnsmos`"
    return ""


def measure_dnsmos(estimate: np.ndarray, rate: int, *, folder: Path) -> dict[str, float]:
    """Predict how listeners would judge a signal, without a reference.

    Args:
        estimate: Enhanced or noisy speech in [-1, 1], shape (T,).
        rate: Sampling rate in Hz.
        folder: Holds DNSMOS_FILES.

    Returns:
        Each of DNSMOS -> value, 1 to 5.

    Raises:
        ValueError: When a file or a package is missing.

    Source:
        Reddy et al., "DNSMOS P.835", ICASSP 2022, with its calibration; torchmetrics runs the networks.
    """
    import torch

    if problem := missing_for_dnsmos(folder):
        raise ValueError(problem)
    from torchmetrics.functional.audio import dnsmos

    # torchmetrics has no argument for the folder, and would download what it does not find.
    dnsmos.DNSMOS_DIR = str(folder)
    signal = torch.from_numpy(np.ascontiguousarray(estimate, dtype=np.float32))
    values = dnsmos.deep_noise_suppression_mean_opinion_score(signal, rate, personalized=False, num_threads=1)
    return dict(zip(DNSMOS, values[1:].tolist(), strict=True))


def measure_quality(
    reference: np.ndarray,
    estimate: np.ndarray,
    rate: int,
    *,
    metrics: Sequence[str] = METRICS,
    dnsmos: Path | None = None,
) -> tuple[dict[str, float], dict[str, str]]:
    """Measure how close an estimate is to its reference.

    Args:
        reference: Clean speech, shape (T,).
        estimate: Enhanced or noisy speech, shape (T,).
        rate: Sampling rate in Hz.
        metrics: Which of METRICS. SI-SDR and SDR of an identical pair are infinite.
        dnsmos: Folder of the networks for DNSMOS; None leaves it out.

    Returns:
        Metric -> value for those that could be measured (STOI and ESTOI in per cent, SI-SDR and SDR in dB,
        wideband PESQ as MOS-LQO), and metric -> reason for those that could not.

    Raises:
        ValueError: When a metric is unknown.

    Example:
        >>> speech = np.sin(np.arange(16000) / 20)
        >>> values, reasons = measure_quality(speech, speech + 0.1, 16000, metrics=["si_sdr"])
        >>> values["si_sdr"] > 60, reasons  # a constant offset is no distortion
        (True, {})

    Source:
        PESQ: ITU-T P.862.2. STOI: Taal et al. 2011. ESTOI: Jensen and Taal 2016. SI-SDR: Le Roux et al.
        2019, of zero-mean signals. SDR: Vincent et al. 2006 with a distortion filter of 512 taps.
    """
    functions: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "stoi": lambda ref, est: _stoi(ref, est, rate, extended=False),
        "estoi": lambda ref, est: _stoi(ref, est, rate, extended=True),
        "sdr": lambda ref, est: _distortion(ref, est, name="signal_distortion_ratio"),
        "si_sdr": lambda ref, est: _distortion(ref, est, name="scale_invariant_signal_distortion_ratio"),
        "pesq": lambda ref, est: _pesq(ref, est, rate),
    }
    unknown = [metric for metric in metrics if metric not in functions]
    if unknown:
        raise ValueError(f"unknown metric '{unknown[0]}': choose from {', '.join(METRICS)}")
    problem = _mismatch(reference, estimate)
    if problem:
        return {}, dict.fromkeys(metrics, problem)
    reference, estimate = (np.ascontiguousarray(signal, dtype=np.float64) for signal in (reference, estimate))
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for metric in metrics:
        try:
            value = functions[metric](reference, estimate)
        except (ValueError, RuntimeWarning, RuntimeError, ArithmeticError) as error:
            reasons[metric] = str(error).splitlines()[0] if str(error) else type(error).__name__
            continue
        if np.isnan(value):
            reasons[metric] = "not a number"
        else:
            values[metric] = value
    if dnsmos is not None:
        values |= measure_dnsmos(estimate, rate, folder=dnsmos)
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


def spread(ids: Sequence[str], count: int) -> list[str]:
    """Choose `count` ids evenly over a sorted list, so that speakers and conditions stay represented.

    Args:
        ids: Utterance ids in any order.
        count: How many; all of them when it exceeds their number.

    Example:
        >>> spread(["d", "a", "c", "b"], 2)
        ['a', 'c']
    """
    ordered = sorted(ids)
    count = min(count, len(ordered))
    return [ordered[i * len(ordered) // count] for i in range(count)]
