"""Networks that judge speech without a reference, all signals at one level."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

# What DNSMOS P.835 predicts, 1 to 5: speech, background, overall.
DNSMOS = ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl")
DISTILLMOS = ("distillmos",)
# Root mean square in dB of full scale at which every signal is judged: DNSMOS of one recording moves by half a point
# with its gain, and systems differ in their level.
LEVEL_DB = -26.0

SAMPLE_RATE = 16000
# The network takes 9.01 s; a longer signal is judged every second, a shorter one repeated.
_SECONDS = 9.01
# From what the network says to a mean opinion score, highest power first.
_CALIBRATION = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)
# Below the package speechmos, and below a folder laid out as Microsoft's DNS-Challenge.
_IN_PACKAGE, _IN_FOLDER = "dnsmos_models/sig_bak_ovr.onnx", "DNSMOS/sig_bak_ovr.onnx"
_ADDRESS = "https://github.com/microsoft/DNS-Challenge/raw/master/DNSMOS"


class MissingNetwork(ValueError):
    """A network that judges is not there or damaged, or its package is not there: no utterance can be judged."""


def _missing_package(*names: str) -> str:
    for name in names:
        if importlib.util.find_spec(name) is None:
            return f"the package {name} is missing: pip install {name}"
    return ""


def missing_for_dnsmos(folder: Path | None = None) -> str:
    """Say what DNSMOS lacks, a file or a package; empty when nothing.

    Args:
        folder: Where the network is; by default in the package speechmos.
    """
    if folder is None:
        return _missing_package("onnxruntime", "speechmos")
    if not (folder / _IN_FOLDER).is_file():
        return f"{folder / _IN_FOLDER} is missing: fetch it from {_ADDRESS}/{_IN_FOLDER}"
    return _missing_package("onnxruntime")


def missing_for_distillmos() -> str:
    """Say which package DistillMOS lacks; empty when none."""
    return _missing_package("distillmos")


def _network(folder: Path | None) -> Path:
    """The file of DNSMOS's network."""
    if problem := missing_for_dnsmos(folder):
        raise MissingNetwork(problem)
    if folder is not None:
        return folder / _IN_FOLDER
    # Found, not imported: the package's own code needs librosa and pandas.
    spec = importlib.util.find_spec("speechmos")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / _IN_PACKAGE


@functools.cache
def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's own kinds
        raise MissingNetwork(f"{path} cannot be read: fetch it again ({error})") from error


def at_level(signal: np.ndarray, rate: int) -> np.ndarray:
    """Bring a signal to the level and the rate at which networks judge it.

    Args:
        signal: Shape (T,), any gain.
        rate: Sampling rate in Hz.

    Returns:
        Shape (T at 16 kHz,), float32, root mean square LEVEL_DB; peaks may pass 1, since limiting would distort.

    Example:
        >>> tone = np.sin(np.arange(16000) / 20)
        >>> judged = at_level(0.001 * tone, 16000)
        >>> print(f"{10 * np.log10(np.mean(judged**2)):.2f} dB")
        -26.00 dB
    """
    if rate != SAMPLE_RATE:
        import soxr

        signal = soxr.resample(signal, rate, SAMPLE_RATE)
    power = np.mean(np.square(signal, dtype=np.float64))
    if not power > 0:
        raise ValueError("a silent signal has no level")
    return (signal * 10 ** (LEVEL_DB / 20) / np.sqrt(power)).astype(np.float32)


def predict_dnsmos(signal: np.ndarray, *, folder: Path | None = None) -> dict[str, float]:
    """DNSMOS P.835 of a signal as it is, at its own level.

    Args:
        signal: Speech at 16 kHz, shape (T,).
        folder: Where the network is; by default in the package speechmos.

    Returns:
        Each of DNSMOS -> value.

    Raises:
        MissingNetwork: When the network or its package is missing.

    Source:
        Reddy, Gopal and Cutler, "DNSMOS P.835", ICASSP 2022, with the calibration published beside the network.
    """
    session = _session(_network(folder))
    length = int(_SECONDS * SAMPLE_RATE)
    audio = np.asarray(signal, dtype=np.float32)
    while len(audio) < length:
        audio = np.concatenate([audio, audio])
    # The windows of the published code: as many as whole seconds allow, without those (from seconds 7 to 23 among
    # them) whose end comes out one sample early in floating point, which it takes for too short.
    windows = [
        audio[None, SAMPLE_RATE * i : int((i + _SECONDS) * SAMPLE_RATE)]
        for i in range(int(len(audio) // SAMPLE_RATE - _SECONDS) + 1)
    ]
    name = session.get_inputs()[0].name
    raw = [session.run(None, {name: window})[0][0] for window in windows if window.shape[1] == length]
    values = np.array(raw, dtype=np.float64)
    return {
        metric: float(np.polyval(powers, values[:, i]).mean())
        for i, (metric, powers) in enumerate(zip(DNSMOS, _CALIBRATION, strict=True))
    }


def measure_dnsmos(signal: np.ndarray, rate: int, *, folder: Path | None = None) -> dict[str, float]:
    """DNSMOS P.835 of a signal at LEVEL_DB, so that systems are compared and not their gains.

    Args:
        signal: Enhanced or noisy speech, shape (T,), any gain.
        rate: Sampling rate in Hz.
        folder: Where the network is; by default in the package speechmos.

    Returns:
        Each of DNSMOS -> value, 1 to 5.

    Raises:
        MissingNetwork: When the network or its package is missing.
    """
    return predict_dnsmos(at_level(signal, rate), folder=folder)


@functools.cache
def _distillmos() -> Any:
    import io
    from contextlib import redirect_stdout

    if problem := missing_for_distillmos():
        raise MissingNetwork(problem)
    import distillmos

    with redirect_stdout(io.StringIO()):
        return distillmos.ConvTransformerSQAModel().eval()


def measure_distillmos(signal: np.ndarray, rate: int) -> dict[str, float]:
    """DistillMOS of a signal at LEVEL_DB.

    Args:
        signal: Enhanced or noisy speech, shape (T,), any gain.
        rate: Sampling rate in Hz.

    Returns:
        "distillmos" -> value, 1 to 5.

    Raises:
        MissingNetwork: When the package is missing.

    Source:
        Stahl and Gamper, "Distillation and pruning for scalable self-supervised representation-based speech quality
        assessment", ICASSP 2025; the package distillmos.
    """
    import torch

    model = _distillmos()
    with torch.no_grad():
        return {DISTILLMOS[0]: float(model(torch.from_numpy(at_level(signal, rate))[None])[0])}
