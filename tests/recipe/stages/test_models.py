"""The presets' models fit together: what stages 3 and 4 train is what stage 5 starts from."""

import argparse

import pytest
import torch
import yaml
from espnet2.tasks.abs_task import AbsTask

from espnet_plugins.tasks import EnhTask, JointTask, RecognitionTask
from local.common.errors import RecipeError
from local.common.recipe import Recipe, Run, add_common_arguments
from local.stages.espnet_commands import merged_config, selected_model
from local.stages.experiment import Experiment
from local.stages.train_command import config_with_paths
from local.stages.train_config import se_config
from local.stages.train_steps import MODEL

# Architecture alone: no weights are at hand.
UPSTREAM = {"model": "hubert_base", "pretrained": False}
MODULES = ("encoder", "separator", "decoder")


def recipe(tmp_path, preset):
    options = ["--preset", preset, "--expdir", str(tmp_path / "exp"), "--dumpdir", str(tmp_path / "dump")]
    return Recipe.from_args(add_common_arguments(argparse.ArgumentParser()).parse_args(options))


def joint_step(made, run):
    return Experiment(made, [run]).fine_tunings[run]


def build(task: type[AbsTask], config, tmp_path):
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("<blank>\n<unk>\n\u2581one\n<sos/eos>\n")
    args = argparse.Namespace(**{**task.get_default_config(), **config})
    args.token_list, args.token_type, args.input_size = str(tokens), "word", None
    return task.build_model(args)


def with_upstream(config):
    for key in ("frontend_conf",):
        config[key] = {**config.get(key, {}), "upstream": UPSTREAM}
    for criterion in config.get("enh_criterions", []):
        if criterion["name"].startswith("ssl_"):
            criterion["conf"]["upstream"] = UPSTREAM
    return config


@pytest.mark.parametrize("preset", ["full"])
def test_the_joint_model_takes_the_weights_of_front_end_and_recognizer(tmp_path, preset):
    made = recipe(tmp_path, preset)
    front_end = build(EnhTask, se_config(made), tmp_path)
    recognizer = build(RecognitionTask, with_upstream(merged_config(made, ["train_asr.yaml"])), tmp_path)
    joint = build(JointTask, with_upstream(joint_step(made, Run("ssl_mse", "joint", 0)).settings["config"]), tmp_path)
    for part, trained in ((joint.enh_model, front_end), (joint.s2t_model, recognizer)):
        ours, theirs = part.state_dict(), trained.state_dict()
        assert {name: value.shape for name, value in ours.items()} == {n: v.shape for n, v in theirs.items()}


def test_the_module_options_of_mini_are_those_of_its_parts(tmp_path):
    config = joint_step(recipe(tmp_path, "mini"), Run("si_snr", "joint", 0)).settings["config"]
    assert config["enh_separator_conf"]["bottleneck_dim"] == 48
    assert config["asr_encoder_conf"]["subsample"] == [2, 2]
    assert config["asr_model_conf"] == {"ctc_weight": 1.0}
    assert config["model_conf"] == {"enh_weight": 1.0, "asr_weight": 1.0}
    assert config["optim_conf"] == {"lr": 0.001}


def test_multi_condition_training_gets_the_noisy_speech_and_trains_the_recognizer_alone(tmp_path):
    made = recipe(tmp_path, "mini")
    step = joint_step(made, Run("multi_condition", "joint", 0))
    model = build(JointTask, with_upstream(step.settings["config"]), tmp_path).train()
    assert not list(model.enh_model.parameters())
    assert "se" not in step.inputs
    noisy, lengths = torch.randn(2, 8000), torch.tensor([8000, 6000])
    (estimate,), *_ = model.enh_model.forward_enhance(noisy, lengths, {"num_spk": 1})
    assert torch.equal(estimate[0], noisy[0])
    assert torch.equal(estimate[1, :6000], noisy[1, :6000])
    text = {"text_spk1": torch.tensor([[2], [2]]), "text_spk1_lengths": torch.tensor([1, 1])}
    model(noisy, lengths, speech_ref1=torch.zeros_like(noisy), **text)[0].backward()
    assert all(p.grad is not None for p in model.s2t_model.encoder.parameters())


def test_every_objective_is_one_file_away_from_the_others(tmp_path):
    made = recipe(tmp_path, "mini")
    configs = {name: joint_step(made, Run(name, "joint", 0)).settings["config"] for name in made.objectives}
    own = {"enh_criterions", "model_conf", *(f"enh_{m}{c}" for m in MODULES for c in ("", "_conf"))}
    for name, config in configs.items():
        theirs = {key: value for key, value in config.items() if configs["ssl_mse"].get(key) != value}
        assert theirs.keys() <= (own if made.objectives[name].shown.alone else {"enh_criterions"}), name


def test_mimic_compares_frames_of_the_recognizer_of_stage_4(tmp_path):
    made = recipe(tmp_path, "mini")
    step = joint_step(made, Run("mimic", "joint", 0))
    (criterion,) = config_with_paths(made, step)["enh_criterions"]
    trained = Experiment(made, []).heads["asr"]
    assert criterion["conf"]["recognizer"]["weights"] == str(trained.out / MODEL)
    assert criterion["conf"]["recognizer"]["config"] == str(trained.out / "espnet" / "config.yaml")
    assert str(step.inputs["asr"][0]) == str(trained.done)


def test_the_recognition_loss_alone_has_no_weight_on_the_enhanced_signal(tmp_path):
    config = joint_step(recipe(tmp_path, "mini"), Run("asr_only", "joint", 0)).settings["config"]
    assert config["model_conf"] == {"enh_weight": 0.0, "asr_weight": 1.0}
    assert build(JointTask, with_upstream(config), tmp_path).calc_enh_loss is False


@pytest.mark.parametrize(
    ("decoder", "own", "expected"),
    [
        (None, {}, ["valid", "wer_ctc", "min"]),
        ("transformer", {}, ["valid", "acc", "max"]),
        ("transducer", {}, ["valid", "loss_transducer", "min"]),
        ("transformer", {"best_model_criterion": [["valid", "loss", "min"]]}, ["valid", "loss", "min"]),
    ],
)
def test_the_best_model_is_chosen_by_what_decodes_it(tmp_path, decoder, own, expected):
    preset = tmp_path / "mine.yaml"
    preset.write_text(
        yaml.safe_dump({"extends": "mini", "config": {"train_asr": {"decoder": decoder}, "train_joint": own}})
    )
    config = joint_step(recipe(tmp_path, str(preset)), Run("si_snr", "joint", 0)).settings["config"]
    assert config["best_model_criterion"] == [expected]


def test_a_training_that_made_no_update_says_why(tmp_path):
    config = {"best_model_criterion": [["valid", "loss", "min"]], "chunk_length": 16000}
    with pytest.raises(RecipeError, match=r"ended without a model: no epoch was better .* see .*train\.log"):
        selected_model(tmp_path, config)
    (tmp_path / "train.log").write_text("'a' is shorter than any candidates of chunk-length: [9]")
    with pytest.raises(RecipeError, match="utterances of no more than chunk_length: 16000 samples"):
        selected_model(tmp_path, config)
    (tmp_path / "valid.loss.ave.pth").touch()
    assert selected_model(tmp_path, config).name == "valid.loss.ave.pth"
