"""Saves are atomic, and a resumed training finds the files of its checkpoint's epoch."""

import pytest
import torch
from espnet2.train.reporter import Reporter

from espnet_plugins.train.checkpoint import atomic_saves
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
