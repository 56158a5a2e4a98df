import gc
import weakref

import pytest
import torch
from tiny_architectures import WAVLM

from espnet_plugins.ssl import build_upstream, share_passes


@pytest.fixture(params=[{}, WAVLM], ids=["base", "wavlm"])
def upstream(request, make_upstream):
    return build_upstream("local", checkpoint=make_upstream(**request.param))


@pytest.fixture
def work(upstream):
    """What was computed: "conv" per pass, and the indices of blocks."""
    done = []
    model = upstream.backbone.model(torch.device("cpu")).model
    model.feature_extractor.conv_layers[0].register_forward_hook(lambda *_: done.append("conv"))
    for index, layer in enumerate(model.encoder.transformer.layers):
        layer.register_forward_hook(lambda *_, index=index: done.append(index))
    return done


@pytest.fixture
def waveform(batch):
    return batch[0].clone().requires_grad_()


def test_one_pass_serves_two_users_and_both_gradients_arrive(upstream, work, waveform):
    alone, _ = upstream(waveform)
    every, _ = upstream.all_layers(waveform)
    (expected,) = torch.autograd.grad(alone.sum() + every[1].square().sum(), waveform)
    work.clear()
    with share_passes():
        last, _ = upstream(waveform)
        again, _ = upstream.all_layers(waveform)
        (gradient,) = torch.autograd.grad(last.sum() + again[1].square().sum(), waveform)
    assert work == ["conv", 0, 1, 2]
    torch.testing.assert_close(last, alone)
    torch.testing.assert_close(again, every)
    torch.testing.assert_close(gradient, expected)


def test_deeper_layers_go_on_where_the_first_call_ended(upstream, work, waveform):
    expected, _ = upstream.all_layers(waveform)
    work.clear()
    with share_passes():
        upstream(waveform, layers=1)
        torch.testing.assert_close(upstream.all_layers(waveform)[0], expected)
    assert work == ["conv", 0, 1, 2]


def test_validation_shares_too(upstream, work, waveform):
    with torch.no_grad(), share_passes():
        upstream(waveform)
        upstream.all_layers(waveform)
    assert work == ["conv", 0, 1, 2]


def test_equal_lengths_share_and_others_do_not(upstream, work, batch):
    waveform, lengths = batch
    with share_passes():
        upstream(waveform, lengths, layers=0)
        upstream(waveform, lengths.clone(), layers=0)
        assert work == ["conv"] * 3  # three lengths, each alone
        upstream(waveform, lengths - 1, layers=0)
        assert work == ["conv"] * 6


def test_views_of_one_tensor_share(upstream, work, waveform):
    enhanced = 2 * waveform.unsqueeze(-1)
    with share_passes():
        a, _ = upstream(enhanced.squeeze(-1), layers=0)
        b, _ = upstream(enhanced[..., 0], layers=0)
    assert work == ["conv"]
    (a.sum() + b.sum()).backward()
    assert waveform.grad.any()


def test_other_data_do_not_share(upstream, work, waveform):
    with share_passes():
        whole, _ = upstream(waveform, layers=0)
        part, _ = upstream(waveform[:, :8000], layers=0)
        copied, _ = upstream(waveform.clone(), layers=0)
        shifted, _ = upstream(waveform[:, 320:], layers=0)
    assert work == ["conv"] * 4
    assert whole.shape == copied.shape
    assert part.shape[1] == 24
    assert shifted.shape[1] == 48


def test_data_changed_in_place_are_passed_again(upstream, work, batch):
    waveform, _ = batch
    with share_passes():
        before, _ = upstream(waveform)
        waveform.mul_(torch.linspace(0, 1, 16000))
        after, _ = upstream(waveform)
    assert work.count("conv") == 2
    assert not torch.allclose(before, after)


def test_results_with_and_without_a_graph_are_not_mixed(upstream, work, waveform):
    with share_passes():
        with torch.no_grad():
            first, _ = upstream(waveform)
        with_graph, _ = upstream(waveform)
        detached, _ = upstream(waveform.detach())
        other_history, _ = upstream(waveform.detach().requires_grad_())
    assert work.count("conv") == 3  # the detached one needs no graph and takes the first
    assert not first.requires_grad
    assert not detached.requires_grad
    (gradient,) = torch.autograd.grad(with_graph.sum(), waveform, retain_graph=True)
    assert gradient.any()
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        torch.autograd.grad(other_history.sum(), waveform)


def test_memory_of_a_waveform_is_not_given_away_while_it_stands_for_it(upstream, batch):
    with share_passes():
        waveform = batch[0].clone()
        upstream(waveform)
        held = weakref.ref(waveform)
        del waveform
        gc.collect()
        assert held() is not None
    gc.collect()
    assert held() is None


def test_the_reference_keeps_only_what_was_asked_for(upstream, work, waveform):
    with share_passes():
        with torch.no_grad():
            upstream(waveform)
            upstream(waveform)
            assert work == ["conv", 0, 1, 2]
            expected, _ = upstream(waveform, layers=1)  # was let go: computed again, and right
        torch.testing.assert_close(expected, upstream(waveform, layers=1)[0])


def test_contexts_nest_and_nothing_outlives_the_outermost(upstream, work, waveform):
    with share_passes():
        frames, _ = upstream(waveform)
        kept = weakref.ref(frames)
        with share_passes():
            upstream(waveform)
        upstream(waveform)
        assert work.count("conv") == 1
        del frames
        gc.collect()
        assert kept() is not None
    gc.collect()
    assert kept() is None
    upstream(waveform)
    assert work.count("conv") == 2


def test_different_upstreams_do_not_share(make_upstream, waveform):
    one = build_upstream("local", checkpoint=make_upstream())
    other = build_upstream("local", checkpoint=make_upstream(**WAVLM))
    with share_passes():
        assert not torch.allclose(one(waveform)[0], other(waveform)[0])


def test_inference_mode(upstream, waveform):
    with torch.inference_mode(), share_passes():
        copied = waveform.clone()
        torch.testing.assert_close(upstream(copied)[0], upstream(copied)[0])
