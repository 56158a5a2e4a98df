"""The option `onednn` reaches PyTorch, and is undone behind the training."""

import argparse

import pytest
import torch
from espnet2.tasks.abs_task import AbsTask

from espnet_plugins.tasks import JointTask
from espnet_plugins.train.onednn import onednn


@pytest.mark.parametrize("enabled", [False, True])
def test_a_training_runs_with_what_its_option_says(monkeypatch, enabled):
    seen = []
    monkeypatch.setattr(
        AbsTask, "main_worker", classmethod(lambda cls, args: seen.append(torch.backends.mkldnn.enabled))
    )
    before = torch.backends.mkldnn.enabled
    JointTask.main_worker(argparse.Namespace(onednn=enabled))
    assert seen == [enabled]
    assert torch.backends.mkldnn.enabled == before


def test_the_option_is_known_and_on_by_default():
    assert JointTask.get_parser().get_default("onednn") is True


def test_undone_after_an_error():
    before = torch.backends.mkldnn.enabled
    with pytest.raises(ZeroDivisionError), onednn(not before):
        1 / 0  # noqa: B018
    assert torch.backends.mkldnn.enabled == before
