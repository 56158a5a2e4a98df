"""ESPnet's options of a training reach it through our programs: loggers, weights to start from, adapters."""

import json
import sys

import pytest
import tiny_training
import torch
from tiny_training import LIMIT

from espnet_plugins.train import checkpoint

# No update changes anything, so that what a training started from is what it leaves.
STILL = {"optim_conf": {"lr": 0.0}, "scheduler": None, "scheduler_conf": {}, "max_epoch": 1, "num_iters_per_epoch": 2}
# Stands for the package, which sends what it is told over the network.
WANDB = """
import json, pathlib, types
errors = types.SimpleNamespace(UsageError=type("UsageError", (Exception,), {}))
run = None
told = []
def login(): pass
def init(**options):
    global run
    run = types.SimpleNamespace(id="one")
    told.append({"init": {name: str(value) for name, value in options.items()}})
config = types.SimpleNamespace(update=lambda args, **more: told.append({"seed": args.seed}))
def log(values): told.append({"log": sorted(values)})
def finish(): pathlib.Path(__file__).with_name("told.json").write_text(json.dumps(told))
"""


def _with_wandb(folder, arguments, losses, log):
    sys.path.insert(0, folder)
    import wandb
    from espnet2.tasks import abs_task

    abs_task.wandb = wandb
    tiny_training._train(arguments, losses, log)


def _run(config, data, out):
    process = tiny_training.start(tiny_training.command(config, data, out), out)
    process.join(LIMIT)
    return process.exitcode, (out / "train.log").read_text()


def _weights(out):
    return torch.load(out / "1epoch.pth", weights_only=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data directory of four utterances."""
    folder = tmp_path_factory.mktemp("data")
    tiny_training.write_data(folder, utterances=4)
    return folder


@pytest.fixture(scope="module")
def front_end(data, tmp_path_factory):
    """A front-end that was trained with tensorboard and wandb; gives its folder and what wandb was told."""
    out, fake = tmp_path_factory.mktemp("front end"), tmp_path_factory.mktemp("fake")
    (fake / "wandb.py").write_text(WANDB)
    options = {"use_tensorboard": True, "use_wandb": True, "wandb_project": "ours", "wandb_name": "a run"}
    config = {**tiny_training.enhancement(), "max_epoch": 1, "num_iters_per_epoch": 2, **options}
    tiny_training.get_ready()
    arguments = tiny_training.command(config, data, out)
    process = tiny_training._context.Process(
        target=_with_wandb, args=(str(fake), arguments, str(out / "losses.txt"), str(out / "train.log"))
    )
    process.start()
    process.join(LIMIT)
    assert process.exitcode == 0, (out / "train.log").read_text()[-3000:]
    return out, json.loads((fake / "told.json").read_text())


def test_tensorboard(front_end):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, _ = front_end
    events = EventAccumulator(str(out / "tensorboard" / "valid"))
    events.Reload()
    (loss,) = events.Scalars("loss")
    reported = checkpoint.read(out / "checkpoint.pth")["reporter"]["stats"][1]["valid"]["loss"]
    assert loss.step == 1
    assert loss.value == pytest.approx(float(reported), rel=1e-5)


def test_wandb(front_end):
    _, told = front_end
    assert told[0]["init"] | {"project": "ours", "name": "a run"} == told[0]["init"]
    assert told[1] == {"seed": 3}
    logged = {name for one in told if "log" in one for name in one["log"]}
    assert {"train/train_si_snr_loss_epoch", "valid/valid_si_snr_loss_epoch"} <= logged


def test_a_joint_training_starts_from_a_front_end(front_end, data, make_upstream, tmp_path):
    start, _ = front_end
    config = {**tiny_training.joint(make_upstream()), **STILL, "init_param": [f"{start / '1epoch.pth'}::enh_model"]}
    code, log = _run(config, data, tmp_path)
    assert code == 0, log[-3000:]
    found = _weights(tmp_path)
    for name, value in _weights(start).items():
        assert torch.equal(found[f"enh_model.{name}"], value), name


def test_a_mismatch_is_passed_over_only_when_asked(front_end, data, tmp_path):
    start, _ = front_end
    config = {**tiny_training.enhancement(), **STILL, "init_param": [str(start / "1epoch.pth")]}
    config["separator_conf"] = {**config["separator_conf"], "hidden_dim": 12}
    code, log = _run(config, data, tmp_path / "strict")
    assert code == 1
    assert "size mismatch for separator.tcn" in log
    assert not list((tmp_path / "strict").glob("*.pth"))
    code, log = _run({**config, "ignore_init_mismatch": True}, data, tmp_path / "lenient")
    assert code == 0, log[-3000:]
    assert "Filter out separator.tcn" in log
    found, given = _weights(tmp_path / "lenient"), _weights(start)
    assert torch.equal(found["encoder.conv1d.weight"], given["encoder.conv1d.weight"])
    misshapen = [name for name in given if found[name].shape != given[name].shape]
    assert misshapen


def test_low_rank_adapters_of_a_recognizer(data, make_upstream, tmp_path):
    pytest.importorskip("loralib", reason="ESPnet's adapter `lora` needs loralib, which the environment has not")
    from espnet_plugins.tasks import JointTask

    config = {**tiny_training.joint(make_upstream()), "max_epoch": 1, "num_iters_per_epoch": 2}
    config |= {"asr_encoder": "transformer", "asr_encoder_conf": {"output_size": 8, "attention_heads": 2}}
    config["asr_encoder_conf"] |= {"linear_units": 8, "num_blocks": 1, "input_layer": "linear"}
    config |= {"use_adapter": True, "adapter": "lora", "adapter_conf": {"rank": 2, "target_modules": ["linear_q"]}}
    code, log = _run(config, data, tmp_path)
    assert code == 0, log[-3000:]
    assert any("linear_q.lora_A" in name for name in _weights(tmp_path))
    model, _ = JointTask.build_model_from_file(tmp_path / "config.yaml", tmp_path / "1epoch.pth")
    found = model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in _weights(tmp_path).items())


REFUSED = {
    "ESPnet puts it into its own front-end s3prl alone": {"adapter": "houlsby"},
    "adapter_conf: unknown key rnak": {"adapter": "lora", "adapter_conf": {"rnak": 2}},
    "names no linear layer or embedding of the model; its are": {
        "adapter": "lora",
        "adapter_conf": {"target_modules": ["query"]},
    },
}


@pytest.mark.parametrize("reason", REFUSED)
def test_adapters_that_do_not_fit(reason, make_upstream, tmp_path, monkeypatch):
    from joint_configuration import build_settings, joint_settings

    monkeypatch.setitem(sys.modules, "loralib", torch)  # what is refused does not come to it
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    with pytest.raises(ValueError, match=reason):
        build_settings({**joint_settings(upstream), "use_adapter": True, **REFUSED[reason]}, tmp_path)


def test_adapters_without_their_package(make_upstream, tmp_path, monkeypatch):
    from joint_configuration import build_settings, joint_settings

    monkeypatch.setitem(sys.modules, "loralib", None)
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    with pytest.raises(ValueError, match="pip install loralib"):
        build_settings({**joint_settings(upstream), "use_adapter": True}, tmp_path)
