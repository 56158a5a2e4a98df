"""The enhancer is the model's own output, for every rate, channel count and length."""

import numpy as np
import pytest
import soxr
import torch
import yaml
from joint_configuration import joint_settings, save_experiment

from espnet_plugins.inference import Enhancer
from espnet_plugins.inference.audio import AudioError
from espnet_plugins.inference.experiment import find_experiment, load_front_end
from espnet_plugins.tasks import JointTask


@pytest.fixture(scope="module")
def enhancer(joint_folder):
    return Enhancer.from_checkpoint(joint_folder)


def model_output(folder, waveform):
    model, _ = JointTask.build_model_from_file(folder / "config.yaml", folder / "model.pth")
    with torch.no_grad():
        estimates, *_ = model.eval().enh_model.forward_enhance(
            torch.from_numpy(waveform)[None], torch.tensor([len(waveform)])
        )
    return [estimate[0].numpy() for estimate in estimates]


def test_at_the_models_rate_it_is_the_joint_models_output(enhancer, joint_folder, speech):
    (expected,) = model_output(joint_folder, speech)
    found = enhancer(speech, 16000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_other_rates_are_resampled_there_and_back(enhancer, rate):
    waveform = (0.1 * np.random.default_rng(1).standard_normal(rate // 2 + 7)).astype(np.float32)
    found = enhancer(waveform, rate)
    assert found.shape == waveform.shape
    inside = enhancer(soxr.resample(waveform, rate, 16000), 16000)
    expected = soxr.resample(inside, 16000, rate)[: len(waveform)]
    np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-5)


def test_each_channel_is_enhanced_by_itself(enhancer, speech):
    stereo = np.stack([speech, np.roll(speech, 500)], axis=1)
    found = enhancer(stereo, 16000)
    assert found.shape == stereo.shape
    for channel in range(2):
        np.testing.assert_allclose(found[:, channel], enhancer(stereo[:, channel], 16000), atol=1e-5)


def test_integers_are_scaled(enhancer, speech):
    integers = np.round(speech * 32768).astype(np.int16)
    expected = enhancer(integers.astype(np.float32) / 32768, 16000)
    np.testing.assert_allclose(enhancer(integers, 16000), expected, atol=1e-5)
    # As scipy reads WAV files of 8 bits.
    coarse = np.clip(np.round(speech * 128) + 128, 0, 255).astype(np.uint8)
    expected = enhancer((coarse.astype(np.float32) - 128) / 128, 16000)
    np.testing.assert_allclose(enhancer(coarse, 16000), expected, atol=1e-5)


@pytest.mark.parametrize("samples", [1, 5, 100, 1599])
def test_very_short_waveforms(enhancer, speech, samples):
    assert np.isfinite(enhancer(speech[:samples], 16000)).all()
    assert enhancer(speech[:samples], 16000).shape == (samples,)


def test_long_waveforms_go_piece_by_piece(enhancer, joint_folder):
    waveform = (0.1 * np.random.default_rng(2).standard_normal(16000 * 3 + 123)).astype(np.float32)
    pieces = Enhancer.from_checkpoint(joint_folder, window=1.0, overlap=0.25)
    seen = []
    pieces.model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    found = pieces(waveform, 16000)
    assert found.shape == waveform.shape
    assert set(seen) == {16000}
    # The front-end's norm goes over the piece, so that each piece is enhanced as it would be alone.
    np.testing.assert_allclose(found[:12000], enhancer(waveform[:16000], 16000)[:12000], atol=1e-5)
    np.testing.assert_allclose(found[-8000:], enhancer(waveform[-16000:], 16000)[-8000:], atol=1e-5)


def test_several_speakers(two_speaker_folder, speech):
    enhancer = Enhancer.from_checkpoint(two_speaker_folder)
    assert enhancer.n_speakers == 2
    np.testing.assert_allclose(enhancer(speech, 16000), model_output(two_speaker_folder, speech), atol=1e-5)
    assert enhancer(np.stack([speech] * 3, axis=1), 16000).shape == (2, 16000, 3)


def test_the_upstream_is_not_needed(joint_folder, tmp_path, speech):
    settings = yaml.safe_load((joint_folder / "config.yaml").read_text())
    checkpoint = settings["frontend_conf"]["upstream"]["checkpoint"]
    text = (joint_folder / "config.yaml").read_text().replace(checkpoint, "gone.pt")
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "model.pth").symlink_to(joint_folder / "model.pth")
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        JointTask.build_model_from_file(None, tmp_path / "model.pth")
    np.testing.assert_allclose(
        Enhancer.from_checkpoint(tmp_path)(speech, 16000), Enhancer.from_checkpoint(joint_folder)(speech, 16000)
    )


def test_a_front_end_of_its_own_training(joint_folder, tmp_path, speech):
    settings = yaml.safe_load((joint_folder / "config.yaml").read_text())
    own = {key.removeprefix("enh_"): value for key, value in settings.items() if key.startswith("enh_")}
    (tmp_path / "espnet").mkdir()
    (tmp_path / "espnet" / "config.yaml").write_text(yaml.safe_dump(own))
    torch.save(load_front_end(find_experiment(joint_folder)).state_dict(), tmp_path / "model.pth")
    assert find_experiment(tmp_path).kind == "enh"
    expected = Enhancer.from_checkpoint(joint_folder)(speech, 16000)
    np.testing.assert_allclose(Enhancer.from_checkpoint(tmp_path)(speech, 16000), expected)


def test_variance_normalization_makes_it_independent_of_scale(make_upstream, tmp_path, speech):
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    settings = {**joint_settings(upstream), "enh_model_conf": {"normalize_variance": True}}
    save_experiment(settings, tmp_path)
    enhancer = Enhancer.from_checkpoint(tmp_path)
    np.testing.assert_allclose(enhancer(100 * speech, 16000), 100 * enhancer(speech, 16000), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(0), "holds no samples"),
        (np.zeros((2, 3, 4)), "not \\[2, 3, 4\\]"),
        (np.array([0.0, np.nan]), "not finite"),
        (np.zeros((1, 8000)), r"more channels than samples: give \(samples, channels\)"),
    ],
)
def test_wrong_waveforms(enhancer, waveform, message):
    with pytest.raises(AudioError, match=message):
        enhancer(waveform, 16000)


def test_wrong_options(joint_folder):
    with pytest.raises(ValueError, match="overlap: 2 is not accepted; give a number of seconds below window"):
        Enhancer.from_checkpoint(joint_folder, window=2, overlap=2)
    with pytest.raises(ValueError, match="overlap: 0 is not accepted"):
        Enhancer.from_checkpoint(joint_folder, overlap=0)


def test_models_that_are_not_there(joint_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such model"):
        Enhancer.from_checkpoint(tmp_path / "gone.pth")
    (tmp_path / "model.pth").write_bytes((joint_folder / "model.pth").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"needs the config\.yaml"):
        Enhancer.from_checkpoint(tmp_path)
    (tmp_path / "config.yaml").write_text("encoder: rnn\ntoken_list: [a]\n")
    with pytest.raises(ValueError, match="is a recognizer: it has no front-end"):
        Enhancer.from_checkpoint(tmp_path)
    settings = yaml.safe_load(next(joint_folder.rglob("config.yaml")).read_text())
    settings["enh_encoder_conf"] = {**settings["enh_encoder_conf"], "channel": "many"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ValueError, match=r"config\.yaml: no front-end can be built: \w+Error: "):
        Enhancer.from_checkpoint(tmp_path)
    (tmp_path / "config.yaml").write_text("a: 1\n")
    with pytest.raises(ValueError, match="is no configuration"):
        Enhancer.from_checkpoint(tmp_path)
    (tmp_path / "model.pth").unlink()
    with pytest.raises(ValueError, match=r"holds no model\.pth and no valid"):
        Enhancer.from_checkpoint(tmp_path)
