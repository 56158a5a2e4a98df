"""Saves are atomic, and a resumed training finds the files of its checkpoint's epoch."""

import math

import pytest
import torch
from espnet2.train import trainer
from espnet2.train.reporter import Reporter

from espnet_plugins.train.averaging import average_models, separate_averages
from espnet_plugins.train.checkpoint import atomic_saves
from espnet_plugins.train.criteria import Criterion, check_numbers
from espnet_plugins.train.trainer import ResumableTrainer


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("stopped in the middle")


def test_a_save_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "checkpoint.pth"
    with atomic_saves():
        torch.save({"a": 1}, target)
        with pytest.raises(RuntimeError, match="in the middle"):
            torch.save({"a": 2, "b": Unpicklable()}, target)
    assert torch.load(target, weights_only=True) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_the_way_of_saving_is_restored():
    save = torch.save
    with atomic_saves():
        assert torch.save is not save
    assert torch.save is save


def checkpoint(tmp_path):
    model = torch.nn.Linear(2, 2)
    reporter = Reporter()
    reporter.set_epoch(3)
    state = {"model": model.state_dict(), "reporter": reporter.state_dict(), "optimizers": [], "schedulers": []}
    torch.save({**state, "scaler": None}, tmp_path / "checkpoint.pth")
    return model


def test_files_of_the_epoch_are_restored_on_resume(tmp_path):
    saved = checkpoint(tmp_path)
    model, reporter = torch.nn.Linear(2, 2), Reporter()
    ResumableTrainer.resume(tmp_path / "checkpoint.pth", model, reporter, [], [], None)
    assert reporter.get_epoch() == 3
    restored = torch.load(tmp_path / "3epoch.pth", weights_only=True)
    torch.testing.assert_close(restored["weight"], saved.weight.data)
    assert (tmp_path / "latest.pth").resolve().name == "3epoch.pth"


def test_existing_files_are_left_alone(tmp_path):
    checkpoint(tmp_path)
    (tmp_path / "3epoch.pth").write_text("kept")
    ResumableTrainer.resume(tmp_path / "checkpoint.pth", torch.nn.Linear(2, 2), Reporter(), [], [], None)
    assert (tmp_path / "3epoch.pth").read_text() == "kept"


def epochs(tmp_path, values):
    """A training's reporter and the models of its epochs, whose only weight is the epoch's number."""
    reporter = Reporter()
    for epoch, (valid, train) in enumerate(values, 1):
        torch.save({"w": torch.tensor([float(epoch)])}, tmp_path / f"{epoch}epoch.pth")
        reporter.set_epoch(epoch)
        for phase, value in (("train", train), ("valid", valid)):
            with reporter.observe(phase) as observed:
                observed.register({"loss": value})
                observed.next()
    return reporter


def test_every_average_is_that_of_its_models(tmp_path, caplog):
    reporter = epochs(tmp_path, [(3, 3), (1, 1), (2, 2), (5, 0.5)])
    criteria = [("valid", "loss", "min"), ("train", "loss", "min")]
    with separate_averages():
        trainer.average_nbest_models(
            reporter=reporter, output_dir=tmp_path, best_model_criterion=criteria, nbest=[1, 2, 3, 9]
        )
    assert trainer.average_nbest_models is not average_models

    def weight(name):
        return float(torch.load(tmp_path / name, weights_only=True)["w"])

    found = {f"{phase} {n}": weight(f"{phase}.loss.ave_{n}best.pth") for phase in ("valid", "train") for n in (1, 2, 3)}
    # By the validation 2, 3, 1, 4; by the training 4, 2, 3, 1.
    assert found == {"valid 1": 2, "valid 2": 2.5, "valid 3": 2, "train 1": 4, "train 2": 3, "train 3": 3}
    assert weight("valid.loss.ave.pth") == 2
    assert "valid.loss: 9 models should be averaged (keep_nbest_models) and there are 4 epochs" in caplog.text


def test_what_decides_must_be_a_number(tmp_path, caplog):
    criteria = [Criterion("best_model_criterion", "valid", "loss")]

    def report(*values):
        with Reporter().observe("valid", 3) as observed:
            for value, weight in values:
                observed.register({"loss": value}, weight)
                observed.next()
        return observed

    check_numbers(criteria, "valid", report((1.0, 2), (0.0, 0)))
    assert not caplog.text
    check_numbers(criteria, "valid", report((1.0, 2), (math.inf, 2), (0.0, 0)))
    assert "epoch 3: valid loss: left out 1 of 2 batches" in caplog.text
    for values in ([(math.nan, 2), (math.inf, 1)], [(0.0, 0)]):
        with pytest.raises(RuntimeError, match="epoch 3: valid loss is no finite number in any of"):
            check_numbers(criteria, "valid", report(*values))
