"""The frozen front-end: weighted sum, one layer, nothing of the upstream in the checkpoint."""

import pytest
import torch

from espnet_plugins.asr.errors import greedy_error_rates
from espnet_plugins.asr.frontend import FrozenSSLFrontend
from espnet_plugins.ssl import get_shared_upstream


@pytest.fixture
def options(make_upstream):
    return {"model": "local", "checkpoint": str(make_upstream())}


def test_the_weighted_sum_starts_as_the_mean_and_learns(options, batch):
    frontend = FrozenSSLFrontend(upstream=options)
    features, lengths = frontend(*batch)
    layers, expected_lengths = get_shared_upstream(**options).all_layers(*batch)
    torch.testing.assert_close(features, layers.mean(dim=0))
    assert lengths.tolist() == expected_lengths.tolist()
    features.square().mean().backward()
    assert frontend.layer_weights.grad.abs().sum() > 0


def test_only_the_weights_are_in_the_checkpoint(options):
    frontend = FrozenSSLFrontend(upstream=options)
    assert list(frontend.state_dict()) == ["layer_weights"]
    assert [name for name, _ in frontend.named_parameters()] == ["layer_weights"]
    assert FrozenSSLFrontend(upstream=options, layer=-1).state_dict() == {}


def test_one_layer_and_normalization(options, batch):
    layers, _ = get_shared_upstream(**options).all_layers(*batch)
    features, _ = FrozenSSLFrontend(upstream=options, layer=2)(*batch)
    torch.testing.assert_close(features, layers[2])
    normalized, _ = FrozenSSLFrontend(upstream=options, layer=2, normalize=True)(*batch)
    torch.testing.assert_close(normalized, torch.nn.functional.layer_norm(layers[2], layers.shape[-1:]))


@pytest.mark.parametrize("layer", [4, -5, "all", 1.5])
def test_a_layer_that_does_not_exist(options, layer):
    with pytest.raises(ValueError, match="layer must be 'weighted_sum' or 0 to 3"):
        FrozenSSLFrontend(upstream=options, layer=layer)


def test_another_sample_rate(options):
    with pytest.raises(ValueError, match="fs is 8000, but the upstream takes 16000 Hz"):
        FrozenSSLFrontend(upstream=options, fs=8000)


def test_greedy_errors_ignore_what_stands_behind_the_end():
    tokens = ["<blank>", "\u2581a", "\u2581b"]
    scores = torch.nn.functional.one_hot(torch.tensor([[1, 1, 0, 1], [2, 0, 1, 1]]), 3).float()
    references, reference_lengths = torch.tensor([[1, 1], [2, -1]]), torch.tensor([2, 1])
    assert greedy_error_rates(scores, torch.tensor([4, 2]), references, reference_lengths, tokens) == (0.0, 0.0)
    wer, cer = greedy_error_rates(scores, torch.tensor([4, 4]), references, reference_lengths, tokens)
    assert wer == pytest.approx(1 / 3)
    assert cer == pytest.approx(2 / 4)
