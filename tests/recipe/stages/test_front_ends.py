"""Every front-end of conf/front_ends is trained by the real task, used, and chosen by a preset or an option."""

import argparse

import numpy as np
import pytest
import soundfile
import tiny_training

from espnet_plugins.inference import Enhancer
from local.common.errors import OptionError
from local.common.recipe import Recipe, Run, add_common_arguments, front_end_names
from local.stages.experiment import Experiment
from local.stages.train_config import se_config
from local.stages.train_steps import se_step


def recipe(tmp_path, *options, preset="smoke"):
    options = ["--preset", preset, "--expdir", str(tmp_path / "exp"), "--dumpdir", str(tmp_path / "dump"), *options]
    return Recipe.from_args(add_common_arguments(argparse.ArgumentParser()).parse_args(options))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tiny_training.write_data(folder, utterances=6, seconds=0.3)
    return folder


@pytest.mark.parametrize("name", front_end_names())
def test_trained_and_used(tmp_path, data, name):
    config = se_step(recipe(tmp_path, "--front_end", name)).settings["config"]
    few = {"chunk_length": 3200, "batch_size": 2, "num_iters_per_epoch": 2, "max_epoch": 2, "num_cache_chunks": 8}
    process = tiny_training.start(tiny_training.command({**config, **few}, data, tmp_path / "se"), tmp_path / "se")
    process.join()
    assert process.exitcode == 0, (tmp_path / "se" / "train.log").read_text()[-3000:]
    losses = tiny_training.losses(tmp_path / "se")
    assert len(losses) == 4
    assert np.isfinite([float(*values) for values in losses.values()]).all()
    noisy, rate = soundfile.read(data / "wav" / "utt00.wav", dtype="float32")
    enhanced = Enhancer.from_checkpoint(tmp_path / "se" / "valid.loss.ave_1best.pth")(noisy, rate)
    assert enhanced.shape == noisy.shape
    assert enhanced.std() > 0


def test_what_stage_5_is_made_of_follows_the_choice(tmp_path):
    run = Run("ssl_mse", "se", 0)
    config = Experiment(recipe(tmp_path, "--front_end", "demucs"), [run]).fine_tunings[run].settings["config"]
    assert config["enh_encoder"] == config["enh_decoder"] == "same"
    assert config["enh_separator"] == "demucs"
    assert config["enh_criterions"][0]["name"] == "ssl_mse"


def test_sizes_of_a_preset_stand_under_the_front_end(tmp_path):
    assert se_config(recipe(tmp_path, preset="full"))["separator_conf"]["stack"] == 3
    options = se_config(recipe(tmp_path, "--front_end", "demucs", preset="full"))["separator_conf"]
    assert options == {"hidden": 64, "depth": 5, "resample": 4, "causal": True}
    made = recipe(tmp_path)
    made.preset["config"]["train_se"]["separator_conf"] = {"stack": 1}
    with pytest.raises(OptionError, match=r"separator_conf of the front-end belong under its name \(config: \{conv_"):
        se_config(made)


def test_an_unknown_front_end(tmp_path):
    with pytest.raises(OptionError, match="unknown front-end 'unet': choose from bsrnn, conv_tasnet, demucs"):
        recipe(tmp_path, "--front_end", "unet")
