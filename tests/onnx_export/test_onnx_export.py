"""Exported graphs give in onnxruntime, without torch, what the front-end gives in torch; as a stream, too."""

import importlib.util
import json
import subprocess
import sys
from argparse import Namespace

import numpy as np
import pytest
import soundfile
import torch
import yaml
from places import ROOT

from espnet_plugins.bin import export_onnx as program
from espnet_plugins.inference import Enhancer
from espnet_plugins.onnx_export import export, export_onnx
from espnet_plugins.tasks import EnhTask

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")

EXAMPLE = ROOT / "examples" / "onnx_enhancer.py"
CONV = {"channel": 16, "kernel_size": 32, "stride": 16}


def _waveforms(separator, **conf):
    return {"encoder": "same", "decoder": "same", "separator": separator, "separator_conf": conf}


def _conv_tasnet(**conf):
    sizes = {"layer": 3, "stack": 1, "bottleneck_dim": 8, "hidden_dim": 12, "num_spk": 1}
    parts = {"encoder": "conv", "encoder_conf": CONV, "decoder": "conv", "decoder_conf": CONV}
    return {**parts, "separator": "tcn", "separator_conf": {**sizes, **conf}}


CAUSAL = {
    "demucs": _waveforms("demucs", hidden=4),
    # The interpolation looks further than a hop; odd lengths inside.
    "short hops": _waveforms("demucs", hidden=4, kernel_size=9, depth=3, normalize=False),
    "gtcrn": _waveforms("gtcrn"),
    "conv_tasnet": _conv_tasnet(causal=True, norm_type="cLN", num_spk=2, predict_noise=True),
}
WHOLE = {
    "demucs": _waveforms("demucs", hidden=4, stride=3, kernel_size=7, depth=3, resample=2, causal=False),
    "gtcrn": CAUSAL["gtcrn"],
    "conv_tasnet": {**_conv_tasnet(num_spk=2), "model_conf": {"normalize_variance": True}},
}


@pytest.fixture(scope="module")
def save_front_end(tmp_path_factory):
    """Give a function that leaves an untrained front-end as a training does; gives its folder."""

    def save(settings):
        folder = tmp_path_factory.mktemp("front end")
        names = ("encoder", "separator", "mask_module", "decoder")
        full = {**dict.fromkeys(names), **{f"{name}_conf": {} for name in (*names, "model")}, **settings}
        full |= {"criterions": None, "init": None}
        torch.manual_seed(0)
        model = EnhTask.build_model(Namespace(**full))
        # Statistics that matter.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
        (folder / "config.yaml").write_text(yaml.safe_dump(full))
        torch.save(model.state_dict(), folder / "model.pth")
        return folder

    return save


@pytest.fixture(scope="module")
def example():
    """The script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location("onnx_enhancer", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _noise(n_samples):
    return (0.1 * np.random.default_rng(n_samples).standard_normal(n_samples) + 0.01).astype(np.float32)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_utterance_of_any_length(save_front_end, example, tmp_path, name):
    folder = save_front_end(WHOLE[name])
    written = export_onnx(folder, tmp_path / "a graph.onnx")
    assert written.difference <= export.TOLERANCE
    graph, enhancer = example.OnnxEnhancer(str(written.path)), Enhancer.from_checkpoint(folder)
    for n_samples in (1, 15, 256, 1599, 1600, 1601, 2048, 12_345):
        waveform = _noise(n_samples)
        expected = enhancer(waveform, 16000)
        # Untrained networks are quiet.
        np.testing.assert_allclose(graph(waveform), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", CAUSAL)
def test_a_stream_in_pieces_of_any_size(save_front_end, example, tmp_path, name):
    folder = save_front_end(CAUSAL[name])
    written = export_onnx(folder, tmp_path / "stream.onnx", stream=True)
    enhancer = Enhancer.from_checkpoint(folder)
    for n_samples, sizes in ((7321, (1, 300, 77, 1500)), (9000, (10_000,)), (4000, (130, 16, 257)), (700, (64,))):
        waveform = _noise(n_samples)
        level = float(np.std(np.pad(waveform, (0, max(1600 - n_samples, 0))), ddof=1))
        stream = example.OnnxStream(str(written.path), level=level)
        pieces, start, k, given = [], 0, 0, 0
        while start < n_samples:
            pieces.append(stream.feed(waveform[start : start + sizes[k % len(sizes)]]))
            start, k, given = start + sizes[k % len(sizes)], k + 1, given + pieces[-1].shape[-1]
            # A sample waits for those that it depends on, and for the rest of a hop.
            assert given > min(start, n_samples) - stream.facts["delay"] - stream.facts["hop_length"]
        found = np.concatenate([*pieces, stream.finish()], axis=-1)
        expected = enhancer(waveform, 16000)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    silent = example.OnnxStream(str(written.path))
    assert silent.finish().shape[-1] == 0


def test_the_metadata_say_what_a_user_needs(save_front_end, tmp_path, capsys):
    folder = save_front_end(CAUSAL["demucs"])
    program.main([str(folder), "--out", str(tmp_path / "stream.onnx"), "--stream", "--rate", "16000"])
    assert "delay: 765" in capsys.readouterr().out
    metadata = {one.key: one.value for one in onnx.load(tmp_path / "stream.onnx").metadata_props}
    assert metadata["kind"] == "demucs"
    assert {name: json.loads(metadata[name]) for name in ("sampling_rate", "hop_length", "delay", "first_block")} == {
        "sampling_rate": 16000,
        "hop_length": 256,
        "delay": 765,
        "first_block": 681,
    }
    session = onnxruntime.InferenceSession(str(tmp_path / "stream.onnx"))
    states = [one["name"] for one in json.loads(metadata["states"])]
    assert [one.name for one in session.get_inputs()] == ["block", "level", "last", *states]
    assert [one.name for one in session.get_outputs()] == ["enhanced", *(f"next_{name}" for name in states)]


REFUSED = {
    "only a causal model": (WHOLE["demucs"], True),
    "normalize_variance": ({**CAUSAL["conv_tasnet"], "model_conf": {"normalize_variance": True}}, True),
    "gLN and GN": (_conv_tasnet(causal=True), True),
    "causal: false": (_conv_tasnet(causal=False, norm_type="cLN"), True),
    "do not overlap": (
        {**CAUSAL["conv_tasnet"], **{f"{part}_conf": {**CONV, "stride": 32} for part in ("encoder", "decoder")}},
        True,
    ),
    "NullEncoder with Identity": (_waveforms("identity"), False),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_graph_is_refused(save_front_end, tmp_path, capsys, reason):
    settings, stream = REFUSED[reason]
    with pytest.raises(SystemExit) as stop:
        program.main([str(save_front_end(settings)), "--out", str(tmp_path / "x.onnx"), *["--stream"] * stream])
    assert stop.value.code == 1
    printed = capsys.readouterr().err
    assert reason in printed
    assert len(printed.splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_a_graph_that_differs_from_torch_is_not_written(save_front_end, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    (tmp_path / "old.onnx").write_text("as it was")
    with pytest.raises(ValueError, match="differs from torch"):
        export_onnx(save_front_end(CAUSAL["short hops"]), tmp_path / "old.onnx")
    assert (tmp_path / "old.onnx").read_text() == "as it was"
    assert len([*tmp_path.iterdir()]) == 1


def test_without_the_packages_it_says_how_to_get_them(save_front_end, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SystemExit):
        program.main([str(tmp_path), "--out", str(tmp_path / "x.onnx")])
    assert "pip install onnx onnxruntime" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["no model", "no graph", "other graph", "no audio", "other rate", "no onnxruntime"])
def test_what_the_example_cannot_use_is_one_line(tmp_path, fault):
    model, source = tmp_path / "model.onnx", tmp_path / "in.wav"
    soundfile.write(source, _noise(800), 16000)
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    if fault != "other graph":
        onnx.helper.set_model_props(proto, {"sampling_rate": "8000" if fault == "other rate" else "16000"})
    onnx.save(proto, model)
    if fault == "no model":
        model.unlink()
    elif fault == "no graph":
        model.write_bytes(b"no graph")
    elif fault == "no audio":
        source.write_text("no audio")
    hide = "sys.modules['onnxruntime'] = None; " if fault == "no onnxruntime" else ""
    code = f"import runpy, sys; {hide}runpy.run_path(sys.argv[0], run_name='__main__')"
    arguments = [str(EXAMPLE), str(model), str(source), str(tmp_path / "out.wav")]
    command = [sys.executable, "-c", f"import sys; sys.argv = {arguments!r}; {code}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    remedy = "export_onnx MODEL --out FILE.onnx wrote"
    for words in {
        "no model": [f"{model}: no such file", remedy],
        "no graph": [f"{model}: onnxruntime cannot read it", remedy],
        "other graph": [f"{model} is another kind of graph", remedy],
        "no audio": [str(source), "Format not "],
        "other rate": [f"{source} has 16000 Hz and 1 channels; give one channel of 8000 Hz"],
        "no onnxruntime": ["onnxruntime is not installed: pip install numpy onnxruntime soundfile"],
    }[fault]:
        assert words in line
    assert not (tmp_path / "out.wav").exists()


def test_the_example_runs_without_torch(save_front_end, tmp_path):
    folder = save_front_end(CAUSAL["short hops"])
    waveform = _noise(5000)
    soundfile.write(tmp_path / "in.wav", waveform, 16000, subtype="FLOAT")
    waveform, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    expected = Enhancer.from_checkpoint(folder)(waveform, 16000)
    code = "import runpy, sys; sys.modules['torch'] = None; runpy.run_path(sys.argv[0], run_name='__main__')"
    for form in ("whole", "stream"):
        written = export_onnx(folder, tmp_path / f"{form}.onnx", stream=form == "stream")
        files = [str(written.path), str(tmp_path / "in.wav"), str(tmp_path / f"{form}.wav")]
        start = f"import sys; sys.argv = {[str(EXAMPLE), *files]!r}; {code}"
        subprocess.run([sys.executable, "-c", start], check=True, timeout=120)
        found, rate = soundfile.read(tmp_path / f"{form}.wav", dtype="float32")
        assert rate == 16000
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
