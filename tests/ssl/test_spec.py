import pytest
import torch

from espnet_plugins.ssl import build_upstream, describe_upstream
from espnet_plugins.ssl.spec import UpstreamSpec, resolve_layers


def spec(*convolutions):
    return UpstreamSpec("x", 1, 1, convolutions, False, 16000, build=torch.nn.Identity)


@pytest.mark.parametrize("convolutions", [((400, 320),), ((10, 5), (3, 2), (2, 2)), ((7, 3), (4, 1))])
def test_frames_are_those_of_the_convolutions(convolutions):
    layers = [torch.nn.Conv1d(1, 1, kernel, stride) for kernel, stride in convolutions]
    described = spec(*convolutions)
    for samples in range(described.receptive_field, described.receptive_field + 3 * described.hop_length):
        output = torch.zeros(1, 1, samples)
        for layer in layers:
            output = layer(output)
        assert described.frames_of(samples) == output.shape[-1]
    assert described.frames_of(described.receptive_field) == 1
    assert described.frames_of(described.receptive_field - 1) == 0
    assert described.frames_of(described.receptive_field + described.hop_length) == 2


def test_hubert_base_has_the_published_geometry():
    described = describe_upstream("hubert_base", pretrained=False)
    assert (described.hop_length, described.receptive_field, described.feature_dim, described.n_layers) == (
        320,
        400,
        768,
        12,
    )
    assert [described.frames_of(n) for n in (400, 16000, 32000, 64000)] == [1, 49, 99, 199]


def test_layers_are_numbered_from_the_first_blocks_input():
    assert resolve_layers(0, 12) == ((0,), True)
    assert resolve_layers(-1, 12) == ((12,), True)
    assert resolve_layers([12, 0, -13], 12) == ((12, 0, 0), False)
    assert resolve_layers("all", 2) == ((0, 1, 2), False)


@pytest.mark.parametrize("layers", [13, -14, [], "last", True, [1, 2.0], [1, 99]])
def test_wrong_layers_name_what_is_accepted(layers):
    with pytest.raises(ValueError, match=r"0\.\.12.*'all'"):
        resolve_layers(layers, 12)


@pytest.mark.parametrize(("old", "new"), [("hop", "hop_length"), ("dim", "feature_dim")])
def test_older_names_warn_once_and_give_the_same(old, new):
    upstream = build_upstream("hubert_base", pretrained=False)
    for owner in (upstream, upstream.backbone.spec):
        with pytest.warns(DeprecationWarning, match=new) as caught:
            assert getattr(owner, old) == getattr(owner, new)
        assert len(caught) == 1
        assert caught[0].filename == __file__
