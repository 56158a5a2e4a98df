import os

import torch

from espnet_plugins.ssl import get_shared_upstream


def test_one_instance_and_one_set_of_weights(make_upstream, batch, monkeypatch):
    checkpoint = make_upstream()
    one = get_shared_upstream("local", checkpoint=checkpoint)
    assert get_shared_upstream(model="local", checkpoint=str(checkpoint), layers=3) is one
    monkeypatch.chdir(checkpoint.parent)
    assert get_shared_upstream("local", checkpoint=os.path.join(".", checkpoint.name)) is one
    every = get_shared_upstream("local", checkpoint=checkpoint, layers="all")
    assert every is not one
    assert every.backbone is one.backbone
    torch.testing.assert_close(every(*batch)[0][-1], one(*batch)[0])


def test_other_checkpoints_are_other_instances(make_upstream):
    one = get_shared_upstream("local", checkpoint=make_upstream())
    other = get_shared_upstream("local", checkpoint=make_upstream(encoder_num_layers=2))
    assert (one.n_layers, other.n_layers) == (3, 2)
    assert one.backbone is not other.backbone


def test_getting_it_reads_no_weights(make_upstream):
    assert not get_shared_upstream("local", checkpoint=make_upstream(encoder_num_layers=1)).backbone.loaded


def test_training_after_inference(make_upstream, batch):
    """Weights that an inference made load can be trained through afterwards."""
    upstream = get_shared_upstream("local", checkpoint=make_upstream(encoder_ff_interm_features=24))
    with torch.inference_mode():
        upstream(*batch)
    waveform = batch[0].clone().requires_grad_()
    upstream(waveform, batch[1])[0].sum().backward()
    assert waveform.grad.abs().sum() > 0
