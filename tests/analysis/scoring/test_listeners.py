"""Networks that judge without a reference: official values on real speech, one level, missing parts named."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import soundfile
from places import SHARED

from espnet_plugins.analysis.scoring import listeners
from espnet_plugins.analysis.scoring.listeners import (
    DISTILLMOS,
    DNSMOS,
    at_level,
    measure_distillmos,
    measure_dnsmos,
    missing_for_dnsmos,
    predict_dnsmos,
)
from espnet_plugins.analysis.scoring.quality import measure_quality

RECORDINGS = sorted((SHARED / "voicebank_demand_p287").glob("*/p287_00[12].wav"))
SAMPLE_RATE = 16000
real_speech = pytest.mark.skipif(not RECORDINGS, reason="no recordings in ../shared/data/voicebank_demand_p287")
# The calibration of P.835, highest power first (Reddy et al., 2022).
CALIBRATION = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


def one_window(path):
    """A recording, repeated until the network takes it in one window."""
    return np.resize(soundfile.read(path)[0], int(9.5 * SAMPLE_RATE))


@pytest.fixture
def dnsmos_packages():
    for package in ("onnxruntime", "speechmos"):
        pytest.importorskip(package, reason=f"{package} is not installed")


@real_speech
def test_dnsmos_is_what_the_published_code_gives(dnsmos_packages):
    pytest.importorskip("librosa")
    from speechmos import dnsmos as official

    # Shorter than the network's window; so long that windows are left out and taken again.
    for path, seconds in [(RECORDINGS[1], 3), (RECORDINGS[-1], 34)]:
        signal, rate = soundfile.read(path)
        long = np.resize(signal, seconds * rate)
        expected = official.run(long, rate)
        values = predict_dnsmos(long)
        found = [values[name] for name in DNSMOS]
        assert found == pytest.approx([expected[f"{name.removeprefix('dnsmos_')}_mos"] for name in DNSMOS], rel=1e-5)


@real_speech
def test_dnsmos_does_not_compare_gains(dnsmos_packages):
    signal = one_window(RECORDINGS[-1])
    values = [measure_dnsmos(gain * signal, SAMPLE_RATE) for gain in (1.0, 0.1)]
    for other in values[1:]:
        assert other == pytest.approx(values[0], abs=1e-4)
    # Which it would, were they judged as they are.
    own = [predict_dnsmos(gain * signal)["dnsmos_ovrl"] for gain in (1.0, 0.1)]
    assert abs(own[0] - own[1]) > 0.05


@real_speech
def test_listeners_prefer_clean_speech(dnsmos_packages):
    by_kind = {path.parent.name: one_window(path) for path in RECORDINGS if path.stem == "p287_001"}
    clean, noisy = (measure_dnsmos(by_kind[kind], SAMPLE_RATE) for kind in ("clean", "noisy"))
    assert all(clean[name] > noisy[name] for name in DNSMOS)
    if importlib.util.find_spec("distillmos"):
        clean, noisy = (measure_distillmos(by_kind[kind], SAMPLE_RATE) for kind in ("clean", "noisy"))
        assert clean["distillmos"] > noisy["distillmos"] + 0.5


@real_speech
def test_distillmos_is_what_its_package_gives():
    distillmos = pytest.importorskip("distillmos", reason="distillmos is not installed")
    import torch

    signal, rate = soundfile.read(RECORDINGS[0])
    with torch.no_grad():
        expected = distillmos.ConvTransformerSQAModel().eval()(torch.from_numpy(at_level(signal, rate))[None]).item()
    assert measure_distillmos(0.2 * signal, rate)["distillmos"] == pytest.approx(expected, abs=1e-4)
    assert list(measure_distillmos(signal, rate)) == list(DISTILLMOS)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_level_is_one_whatever_the_gain_and_the_rate(rate):
    signal = np.sin(np.arange(2 * rate) * 2 * np.pi * 440 / rate)
    for gain in (1e-4, 1.0, 30.0):
        leveled = at_level(gain * signal, rate)
        assert leveled.dtype == np.float32
        assert len(leveled) == 2 * SAMPLE_RATE
        assert 10 * np.log10(np.mean(np.square(leveled, dtype=float))) == pytest.approx(listeners.LEVEL_DB, abs=1e-3)
    with pytest.raises(ValueError, match="silent"):
        at_level(np.zeros(100), rate)


def test_every_value_has_its_own_name(tmp_path):
    """A network that says 2, 3 and 4 of any signal, with the input of the real one."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    said = onnx.numpy_helper.from_array(np.array([[2, 3, 4]], dtype=np.float32))
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["said"], value=said)],
        "constant",
        [helper.make_tensor_value_info("input_1", kind, ["n", 144160])],
        [helper.make_tensor_value_info("said", kind, [1, 3])],
    )
    (tmp_path / "DNSMOS").mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "DNSMOS" / "sig_bak_ovr.onnx"))
    for seconds in (2, 11):
        speech = np.random.default_rng(0).standard_normal(SAMPLE_RATE * seconds) * 0.1
        metrics = ["stoi", "dnsmos"]
        values, reasons = measure_quality(speech, 0.9 * speech, SAMPLE_RATE, metrics=metrics, dnsmos=tmp_path)
        assert (list(values), reasons) == (["stoi", *DNSMOS], {})
        for name, raw in zip(DNSMOS, (2, 3, 4), strict=True):
            assert values[name] == pytest.approx(np.polyval(CALIBRATION[name], raw), rel=1e-6)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    network = tmp_path / "DNSMOS" / "sig_bak_ovr.onnx"
    assert missing_for_dnsmos(tmp_path).startswith(f"{network} is missing: fetch it from https://")
    with pytest.raises(ValueError, match=r"sig_bak_ovr\.onnx is missing"):
        measure_quality(np.arange(9.0), np.arange(9.0), SAMPLE_RATE, metrics=["dnsmos"], dnsmos=tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert missing_for_dnsmos() == "the package onnxruntime is missing: pip install onnxruntime"
    listeners._distillmos.cache_clear()
    with pytest.raises(ValueError, match="pip install distillmos"):
        measure_distillmos(np.ones(9), SAMPLE_RATE)
