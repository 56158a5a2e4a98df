"""Features are normalized by an utterance's own frames, in every task."""

import pytest
import torch
from espnet2.layers.utterance_mvn import UtteranceMVN
from espnet2.tasks import asr, hubert
from joint_configuration import build_settings, joint_batch, joint_settings

from espnet_plugins import tasks
from espnet_plugins.asr.normalize import OwnFramesMVN

LENGTHS = torch.tensor([9, 5, 2])


def features():
    return 2 * torch.randn(3, 9, 4, generator=torch.Generator().manual_seed(0)) + 5


@pytest.mark.parametrize("norm_means", [True, False])
def test_a_padded_batch_is_each_utterance_alone(norm_means):
    norm, stock = (kind(norm_means=norm_means, norm_vars=True) for kind in (OwnFramesMVN, UtteranceMVN))
    x = features()
    poisoned = x.clone()
    poisoned[1, 5:], poisoned[2, 2:] = torch.nan, torch.inf
    found, lengths = norm(poisoned.requires_grad_(), LENGTHS)
    assert lengths is LENGTHS
    found.square().sum().backward()
    assert poisoned.grad.isfinite().all()
    for row, n in enumerate(LENGTHS.tolist()):
        alone, _ = stock(x[row : row + 1, :n].clone(), LENGTHS[row : row + 1])
        torch.testing.assert_close(found[row, :n], alone[0])
        assert found[row, n:].eq(0).all()
    torch.testing.assert_close(norm(x.clone())[0], stock(x.clone())[0])


def test_a_single_frame_has_no_variance():
    one = features()[:, :1].requires_grad_()
    found, _ = OwnFramesMVN(norm_vars=True)(one)
    assert found.eq(0).all()
    found.sum().backward()
    assert one.grad.isfinite().all()


def test_without_variances_it_is_espnets():
    for norm_means in (True, False):
        found, expected = (kind(norm_means=norm_means)(features(), LENGTHS)[0] for kind in (OwnFramesMVN, UtteranceMVN))
        assert torch.equal(found, expected)


def test_every_task_has_it():
    for task in (tasks.RecognitionTask, tasks.JointTask, tasks.PretrainTask):
        (choices,) = [choice for choice in task.class_choices_list if choice.name == "normalize"]
        assert choices.get_class("utterance_mvn") is OwnFramesMVN
    assert asr.normalize_choices.get_class("utterance_mvn") is OwnFramesMVN
    assert hubert.normalize_choices.get_class("utterance_mvn") is OwnFramesMVN


def test_the_loss_of_a_joint_model_does_not_depend_on_padding(make_upstream, batch, tmp_path):
    settings = joint_settings({"model": "local", "checkpoint": str(make_upstream())})
    model = build_settings({**settings, "normalize_conf": {"norm_vars": True}}, tmp_path).eval()
    data = joint_batch(*batch)
    together = model.s2t_model.encode(data["speech"], data["speech_lengths"])
    n = int(data["speech_lengths"][0])
    alone = model.s2t_model.encode(data["speech"][:1, :n], data["speech_lengths"][:1])
    frames = int(alone[1])
    torch.testing.assert_close(together[0][0, :frames], alone[0][0], atol=1e-5, rtol=1e-4)
