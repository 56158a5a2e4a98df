"""What a training's YAML says about weights, freezing and initialization, and what its log shows of each criterion."""

import pytest
import tiny_training
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from espnet_plugins.tasks import EnhTask, JointTask
from espnet_plugins.train import checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tiny_training.write_data(folder, utterances=6)
    return folder


def train(config, data, out):
    process = tiny_training.start(tiny_training.command(config, data, out), out)
    process.join(tiny_training.LIMIT)
    log = (out / "train.log").read_text()
    assert process.exitcode == 0, log[-3000:]
    return log


def assert_reported(log, out, *names):
    """Each name is in the log, in tensorboard and in the reporter of the checkpoint, for training and validation."""
    reported = checkpoint.read(out / checkpoint.LATEST)["reporter"]["stats"][1]
    for part in ("train", "valid"):
        events = EventAccumulator(str(out / "tensorboard" / part)).Reload()
        for name in names:
            assert f"{name}=" in log
            assert name in events.Tags()["scalars"]
            assert name in reported[part]


def write_start(config, folder):
    """Weights of a joint model other than those that the training would start from, in two files."""
    arguments = tiny_training.command(config, folder, folder)
    torch.manual_seed(99)
    model = JointTask.build_model(JointTask.get_parser().parse_args(arguments))
    torch.save(model.enh_model.state_dict(), folder / "se.pth")
    torch.save(model.s2t_model.state_dict(), folder / "asr.pth")


def test_the_objective_alone_moves_the_front_end_alone(make_upstream, data, tmp_path):
    config = tiny_training.joint(make_upstream())
    write_start(config, tmp_path)
    out = tmp_path / "out"
    config |= {
        "model_conf": {"enh_weight": 1.0, "asr_weight": 0.0},
        "init_param": [f"{tmp_path}/se.pth::enh_model", f"{tmp_path}/asr.pth::s2t_model"],
        "freeze_param": ["s2t_model"],
        "optim_conf": {"lr": 1e-4},
        "use_tensorboard": True,
        "num_iters_per_epoch": 2,
        "max_epoch": 1,
    }
    log = train(config, data, out)
    found = torch.load(out / "1epoch.pth", weights_only=True)
    for name, value in torch.load(tmp_path / "asr.pth", weights_only=True).items():
        assert torch.equal(found[f"s2t_model.{name}"], value), name
    start = torch.load(tmp_path / "se.pth", weights_only=True)
    distances = [(found[f"enh_model.{name}"] - value).abs().max() for name, value in start.items()]
    assert 0 < max(distances) < 1e-2
    assert_reported(log, out, "ssl_mse_pad", "loss_enh", "loss")


def test_every_criterion_is_reported_in_joint_training(make_upstream, data, tmp_path):
    config = tiny_training.joint(make_upstream())
    config["enh_criterions"].append(tiny_training.CRITERION)
    config |= {"use_tensorboard": True, "num_iters_per_epoch": 2, "max_epoch": 1}
    log = train(config, data, tmp_path)
    assert_reported(log, tmp_path, "ssl_mse_pad", "si_snr_loss", "loss_enh", "loss_asr", "loss_ctc")


def test_every_criterion_is_reported_in_the_training_of_a_front_end(make_upstream, data, tmp_path):
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    entry = {"name": "ssl_soft_dtw", "conf": {"upstream": upstream}, "wrapper": "inherit_permutation"}
    config = tiny_training.enhancement()
    config["criterions"] = [tiny_training.CRITERION, {**entry, "wrapper_conf": {"weight": 1.0}}]
    config |= {"use_tensorboard": True, "num_iters_per_epoch": 2, "max_epoch": 1}
    log = train(config, data, tmp_path)
    names = ("ssl_soft_dtw", "ssl_soft_dtw_raw", "ssl_soft_dtw_per_frame", "si_snr_loss")
    assert_reported(log, tmp_path, *names)
    arguments = tiny_training.command(config, data, tmp_path)
    model = EnhTask.build_model(EnhTask.get_parser().parse_args(arguments))
    assert list(model.state_dict()) == list(torch.load(tmp_path / "1epoch.pth", weights_only=True))


def test_two_speakers_through_the_whole_program(make_upstream, tmp_path):
    """LibriMix-like mixtures: the criteria inherit SI-SNR's permutation, the recognizer hears both speakers."""
    tiny_training.write_data(tmp_path / "data", utterances=6, speakers=2)
    config = tiny_training.joint(make_upstream())
    config["enh_separator_conf"] = {**config["enh_separator_conf"], "num_spk": 2}
    solver = {**tiny_training.CRITERION, "wrapper": "pit", "wrapper_conf": {"weight": 0.0}}
    config["enh_criterions"].insert(0, solver)
    config |= {"use_tensorboard": True, "num_iters_per_epoch": 2, "max_epoch": 1}
    log = train(config, tmp_path / "data", tmp_path / "out")
    assert_reported(log, tmp_path / "out", "ssl_mse_pad", "si_snr_loss", "loss_enh", "loss_asr")


def test_an_attention_decoder_reports_its_accuracy_for_the_choice_of_the_best_model(make_upstream, data, tmp_path):
    decoder = {"attention_heads": 2, "linear_units": 8, "num_blocks": 1}
    config = tiny_training.joint(make_upstream())
    config |= {"asr_decoder": "transformer", "asr_decoder_conf": decoder, "asr_model_conf": {"ctc_weight": 0.3}}
    config |= {"best_model_criterion": [["valid", "acc", "max"]], "num_iters_per_epoch": 2, "max_epoch": 1}
    train(config, data, tmp_path)
    assert (tmp_path / "valid.acc.ave.pth").is_file()
