"""Downstream heads: each is trained a few steps by the real task and decodes, greedily and with a beam."""

import argparse
import dataclasses
import shutil

import numpy as np
import pytest
import tiny_training

from espnet_plugins.bin import asr_inference
from espnet_plugins.tasks import JointTask, RecognitionTask
from local.common.errors import OptionError, RecipeError
from local.common.recipe import Recipe, Run, add_common_arguments, add_run_arguments, runs_from_args
from local.stages.decode_steps import head_folder
from local.stages.experiment import Experiment
from local.stages.front_end_weights import import_weights
from local.stages.tokens import character_tokens
from local.stages.train_steps import se_step


def parse(tmp_path, *options, preset="paper_mini"):
    places = [f"--{name}={tmp_path / name}" for name in ("expdir", "dumpdir", "downloads")]
    parser = add_run_arguments(add_common_arguments(argparse.ArgumentParser()))
    return parser.parse_args(["--preset", preset, *places, *options])


def runs_of(*options, **changes):
    args = parse(*options, **changes)
    return runs_from_args(Recipe.from_args(args), args)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tiny_training.write_data(folder, utterances=8, seconds=0.5)
    return folder


TOKENS = {
    "asr": ("char", ["<blank>", "<unk>", "<space>", *"eknotw", "<sos/eos>"]),
    "pr": ("word", ["<blank>", "<unk>", "one", "two", "<sos/eos>"]),
}


@pytest.mark.parametrize("preset", ["paper_mini", "paper"])
@pytest.mark.parametrize("head", ["asr", "pr"])
def test_trained_and_decoded(tmp_path, data, make_upstream, head, preset):
    recipe = Recipe.from_args(parse(tmp_path, preset=preset))
    config = dict(Experiment(recipe, []).heads[head].settings["config"])
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    config["frontend_conf"] = {**config["frontend_conf"], "upstream": upstream}
    kind, tokens = TOKENS[head]
    few = {"num_iters_per_epoch": 3, "max_epoch": 2, "num_workers": 0, "batch_bins": 24000, "batch_size": 3}
    config |= {**few, "token_list": tokens, "token_type": kind, "use_tensorboard": False}
    if "preencoder_conf" in config:
        # The tiny upstream's features.
        config["preencoder_conf"] = {"input_size": 32, "output_size": 16}
        config["encoder_conf"] = {**config["encoder_conf"], "hidden_size": 16, "output_size": 16}
    arguments = tiny_training.command(config, data, tmp_path / "head")
    process = tiny_training.start(arguments, tmp_path / "head")
    process.join()
    assert process.exitcode == 0, (tmp_path / "head" / "train.log").read_text()[-3000:]
    losses = [float(*values) for values in tiny_training.losses(tmp_path / "head").values()]
    assert len(losses) == 6
    assert np.isfinite(losses).all()
    phase, key, _ = config["best_model_criterion"][0]
    model = tmp_path / "head" / f"{phase}.{key}.ave_{config['keep_nbest_models']}best.pth"
    for beam in (1, 3):
        out = tmp_path / f"beam{beam}"
        command = ["--output_dir", str(out), "--num_workers", "0", "--log_level", "ERROR", "--beam_size", str(beam)]
        command += ["--ctc_weight", "1.0", "--data_path_and_name_and_type", f"{data / 'spk1.scp'},speech,sound"]
        command += ["--asr_train_config", str(tmp_path / "head" / "config.yaml"), "--asr_model_file", str(model)]
        asr_inference.main(command)
        decoded = (out / "1best_recog" / "text").read_text().splitlines()
        assert len(decoded) == 8


def test_characters(tmp_path):
    tokens = character_tokens(["RED TWO", "IT'S"], tmp_path)
    assert tokens == ["<blank>", "<unk>", "<space>", *"'DEIORSTW", "<sos/eos>"]
    assert (tmp_path / "tokens.txt").read_text().split("\n")[:-1] == tokens


def test_what_the_preset_runs_unless_told_otherwise(tmp_path):
    names = [run.name for run in runs_of(tmp_path)]
    objectives = ("ssl_mse", "ssl_mse_pad", "ssl_soft_dtw")
    assert names == [f"{objective}_se_seed{seed}" for objective in objectives for seed in (0, 1)]
    assert runs_of(tmp_path, "--seeds", "7")[0].name == "ssl_mse_se_seed7"
    assert runs_of(tmp_path, preset="mini")[0] == Run("si_snr", "joint", 0)


def test_phones_are_decoded_from_the_enhanced_audio_of_every_system(tmp_path):
    steps = Experiment(Recipe.from_args(parse(tmp_path)), runs_of(tmp_path))
    for system in steps.systems.values():
        words, phones = (steps.recognize(system, "test_seen", head) for head in ("asr", "pr"))
        assert (words.out.parents[1].name, phones.out.parents[1].name) == ("decode", "decode_pr")
        assert phones.inputs["model0"] == (steps.heads["pr"].done, 4)
        assert ("enhanced" in phones.inputs) == (system.front_end != "none")
        assert ("enhanced" in words.inputs) == (system.front_end == "separate")
    assert head_folder("score", "pr") == "score_pr"


def test_the_joint_model_of_the_published_sizes(tmp_path, make_upstream):
    recipe = Recipe.from_args(parse(tmp_path, preset="paper"))
    run = Run("ssl_soft_dtw", "se", 0)
    steps = Experiment(recipe, [run])
    config = steps.fine_tunings[run].settings["config"]
    assert config["enh_separator_conf"]["hidden"] == 64
    assert config["asr_preencoder"] == "linear"
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    config["frontend_conf"]["upstream"] = upstream
    config["enh_criterions"][0]["conf"]["upstream"] = upstream
    config["asr_preencoder_conf"]["input_size"] = 32
    tokens = TOKENS["asr"][1]
    joint = JointTask.build_model(
        argparse.Namespace(**{**JointTask.get_default_config(), **config, "token_list": tokens, "input_size": None})
    )
    head = dict(steps.heads["asr"].settings["config"])
    head["frontend_conf"]["upstream"], head["preencoder_conf"]["input_size"] = upstream, 32
    alone = RecognitionTask.build_model(
        argparse.Namespace(**{**RecognitionTask.get_default_config(), **head, "token_list": tokens, "input_size": None})
    )
    shapes = {name: value.shape for name, value in joint.s2t_model.state_dict().items()}
    assert shapes == {name: value.shape for name, value in alone.state_dict().items()}
    assert sum(p.numel() for p in joint.enh_model.parameters()) == 33_533_569


def test_published_weights_take_the_place_of_stage_3(tmp_path, monkeypatch):
    import hashlib

    import torch

    from espnet_plugins.enh.demucs import Demucs
    from espnet_plugins.inference import Enhancer, published

    recipe = Recipe.from_args(parse(tmp_path, preset="paper"))
    step = se_step(recipe)
    with pytest.raises(RecipeError, match=r"master64-8a5dfb4bb92753dd.th is missing: fetch it from https://"):
        import_weights(recipe, step)
    torch.save(Demucs(hidden=64).state_dict(), tmp_path / "weights")
    prefix = hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest()[:16]
    address = f"https://example.org/master64-{prefix}.th"
    model = dataclasses.replace(published.PUBLISHED["master64"], sha256=prefix, address=address)
    monkeypatch.setitem(published.PUBLISHED, "master64", model)
    (recipe.downloads / "denoiser").mkdir(parents=True)
    shutil.move(tmp_path / "weights", recipe.downloads / "denoiser" / f"master64-{prefix}.th")
    assert step.run(lambda: import_weights(recipe, step))
    assert Enhancer.from_checkpoint(step.out / "espnet").n_speakers == 1
    assert step.is_done()
    # Another front-end is trained.
    other = Recipe.from_args(parse(tmp_path, "--front_end", "conv_tasnet", preset="paper"))
    assert se_step(other).name == "train"


def test_weights_of_gtcrn_take_the_place_of_stage_3(tmp_path, monkeypatch):
    import hashlib

    import torch
    from gtcrn_cases import to_authors_layout

    from espnet_plugins.enh.gtcrn import GTCRN
    from espnet_plugins.inference import Enhancer, published

    own = tmp_path / "own.yaml"
    own.write_text("extends: mini\nfront_end: gtcrn\nfront_end_weights: gtcrn_dns3\n")
    recipe = Recipe.from_args(parse(tmp_path, preset=str(own)))
    file = recipe.downloads / "gtcrn" / "model_trained_on_dns3.tar"
    file.parent.mkdir(parents=True)
    network = GTCRN()
    torch.save({"model": to_authors_layout(network.state_dict())}, file)
    step = se_step(recipe)
    with pytest.raises(RecipeError, match="which is no published model"):
        import_weights(recipe, step)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    model = dataclasses.replace(published.PUBLISHED["gtcrn_dns3"], sha256=digest)
    monkeypatch.setitem(published.PUBLISHED, "gtcrn_dns3", model)
    assert step.run(lambda: import_weights(recipe, step))
    loaded = Enhancer.from_checkpoint(step.out / "espnet").model.separator.gtcrn.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in network.state_dict().items())
    own.write_text("extends: mini\nfront_end: demucs\nfront_end_weights: gtcrn_dns3\n")
    other = Recipe.from_args(parse(tmp_path, preset=str(own)))
    with pytest.raises(OptionError, match="'gtcrn_dns3' is a gtcrn, the front-end demucs a demucs"):
        import_weights(other, se_step(other))


def test_heads_that_do_not_exist(tmp_path):
    own = tmp_path / "own.yaml"
    for heads in ("[pr]", "[asr, tts]", "[]"):
        own.write_text(f"extends: mini\nheads: {heads}\n")
        with pytest.raises(OptionError, match=r"heads: .* is not accepted"):
            Recipe.from_args(parse(tmp_path, preset=str(own)))
