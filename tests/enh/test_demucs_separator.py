"""Demucs in ESPnet: trained by the real task, in the joint model, in the inference of whole files."""

import numpy as np
import pytest
import soundfile
import tiny_training
import torch
from joint_configuration import build_settings, joint_batch, joint_settings

from espnet_plugins.bin import enh_inference
from espnet_plugins.enh.demucs_separator import DemucsSeparator
from espnet_plugins.inference import Enhancer

MODULES = {
    "encoder": "same",
    "separator": "demucs",
    "separator_conf": {"hidden": 4, "depth": 3},
    "decoder": "same",
}


def test_trained_by_the_real_task(tmp_path):
    data = tmp_path / "data"
    tiny_training.write_data(data)
    without = {key: value for key, value in tiny_training.enhancement().items() if not key.endswith("coder_conf")}
    config = {**without, **MODULES, "max_epoch": 2, "num_iters_per_epoch": 6}
    arguments = tiny_training.command(config, data, tmp_path / "exp")
    process = tiny_training.start(arguments, tmp_path / "exp")
    process.join()
    assert process.exitcode == 0, (tmp_path / "exp" / "train.log").read_text()[-3000:]
    losses = [float(*values) for values in tiny_training.losses(tmp_path / "exp").values()]
    assert len(losses) >= 6
    assert np.mean(losses[-2:]) < np.mean(losses[:2])

    model = tmp_path / "exp" / "valid.loss.ave_1best.pth"
    enhancer = Enhancer.from_checkpoint(model)
    noisy, rate = soundfile.read(data / "wav" / "utt00.wav", dtype="float32")
    enhanced = enhancer(noisy, rate)
    assert enhanced.shape == noisy.shape
    trained = enhancer.model.separator.demucs
    with torch.inference_mode():
        np.testing.assert_allclose(enhanced, trained(torch.from_numpy(noisy)[None])[0], atol=1e-6)

    out = tmp_path / "out"
    command = ["--output_dir", str(out), "--fs", "16000", "--num_workers", "0", "--log_level", "ERROR"]
    command += ["--data_path_and_name_and_type", f"{data / 'wav.scp'},speech_mix,sound", "--output_format", "wav"]
    enh_inference.main([*command, "--train_config", str(tmp_path / "exp" / "config.yaml"), "--model_file", str(model)])
    written = dict(line.split() for line in (out / "spk1.scp").read_text().splitlines())
    np.testing.assert_allclose(soundfile.read(written["utt00"])[0], enhanced, atol=2e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_in_the_joint_model_nothing_comes_from_the_padding(make_upstream, batch, tmp_path, causal):
    settings = joint_settings({"model": "local", "checkpoint": str(make_upstream())}, criterion="ssl_mse_pad")
    settings |= {f"enh_{name}": value for name, value in MODULES.items()}
    settings |= {"enh_encoder_conf": {}, "enh_decoder_conf": {}}
    settings["enh_separator_conf"] = {**MODULES["separator_conf"], "causal": causal}
    model = build_settings(settings, tmp_path)
    data = joint_batch(*batch)
    loss, stats, _ = model.train()(**data)
    loss.backward()
    assert {"ssl_mse_pad", "loss_asr"} <= set(stats)
    assert all(parameter.grad.isfinite().all() for parameter in model.enh_model.parameters())
    assert model.enh_model.separator.demucs.lstm.lstm.weight_hh_l0.grad.abs().sum() > 0
    (together,), *_ = model.eval().enh_model.forward_enhance(data["speech"], data["speech_lengths"], {})
    n = int(data["speech_lengths"][2])
    (alone,), *_ = model.enh_model.forward_enhance(data["speech"][2:, :n], data["speech_lengths"][2:], {})
    torch.testing.assert_close(together[2, :n], alone[0], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_dim": 129}, "encoder: same"),
        ({"num_spk": 2}, "num_spk: 2"),
        ({"hiden": 4}, "unknown key hiden; accepted keys are causal, depth"),
        ({"chin": 2}, "unknown key chin"),
        ({"resample": 8}, "resample: 8"),
    ],
)
def test_what_it_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        DemucsSeparator(**{"input_dim": 1, **arguments})
