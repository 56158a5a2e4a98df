"""DNSMOS from local files: what the networks say reaches the score under its own name; what is missing is named."""

from __future__ import annotations

import numpy as np
import pytest

from espnet_plugins.analysis.scoring.quality import DNSMOS, DNSMOS_FILES, measure_quality, missing_for_dnsmos

# The calibration of P.835, highest power first (Reddy et al., 2022).
CALIBRATION = {
    "dnsmos_sig": (-0.08397278, 1.22083953, 0.0052439),
    "dnsmos_bak": (-0.13166888, 1.60915514, -0.39604546),
    "dnsmos_ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
RAW = {"dnsmos_sig": 2.0, "dnsmos_bak": 3.0, "dnsmos_ovrl": 4.0}


@pytest.fixture
def networks(tmp_path):
    """Networks that give the same for any signal, with the inputs and outputs of the real ones."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("requests", reason="requests is not installed")
    inputs, outputs = (["n", 144160], ["n", 900, 120]), ([*RAW.values()], [1.0])
    for file, shape, values in zip(DNSMOS_FILES, inputs, outputs, strict=True):
        helper, kind = onnx.helper, onnx.TensorProto.FLOAT
        said = onnx.numpy_helper.from_array(np.array([values], dtype=np.float32))
        graph = helper.make_graph(
            [helper.make_node("Constant", [], ["said"], value=said)],
            "constant",
            [helper.make_tensor_value_info("input_1", kind, shape)],
            [helper.make_tensor_value_info("said", kind, [1, len(values)])],
        )
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, str(path))
    return tmp_path


def test_every_value_has_its_own_name(networks):
    generator = np.random.default_rng(0)
    # Shorter and longer than the 9.01 s that the networks take.
    for seconds in (2, 11):
        speech = generator.standard_normal(16000 * seconds) * 0.1
        values, reasons = measure_quality(speech, 0.9 * speech, 16000, metrics=["stoi"], dnsmos=networks)
        assert (list(values), reasons) == (["stoi", *DNSMOS], {})
        for name in DNSMOS:
            assert values[name] == pytest.approx(np.polyval(CALIBRATION[name], RAW[name]), rel=1e-6)


def test_a_missing_file_is_named(tmp_path):
    problem = missing_for_dnsmos(tmp_path)
    assert problem.startswith(f"{tmp_path / DNSMOS_FILES[0]} is missing: fetch it from https://")
    with pytest.raises(ValueError, match=r"sig_bak_ovr\.onnx is missing"):
        measure_quality(np.arange(9.0), np.arange(9.0), 16000, metrics=[], dnsmos=tmp_path)
