"""Several layers, a gamma schedule, and zeros around a reference of another speed: values, gradients, sharing."""

import copy

import pytest
import torch
from tiny_architectures import LARGE
from torch.nn.functional import normalize

from espnet_plugins.objectives import SSL_CRITERIA, SSLMSE, SSLMSEPad, SSLSoftDTW
from espnet_plugins.schedule import schedules
from espnet_plugins.soft_dtw import soft_dtw_divergence
from espnet_plugins.ssl import get_shared_upstream, share_passes

LAYERS = [1, -1, 0]
GAMMA = {"from": 1.0, "to": 0.01, "updates": 4}
VARIANTS = [
    *((name, {"layer": LAYERS}) for name in SSL_CRITERIA),
    ("ssl_soft_dtw", {"padding": {"fraction": [0.1, 0.2]}}),
    ("ssl_soft_dtw", {"padding": {"fraction": [0.1, 0.2]}, "layer": LAYERS, "gamma": GAMMA, "bandwidth": 3}),
]


@pytest.fixture
def passes(options):
    """Utterances that went through the upstream's convolutions."""
    seen = []
    model = get_shared_upstream(**options["upstream"]).backbone.model(torch.device("cpu"))
    handle = model.model.feature_extractor.conv_layers[0].register_forward_hook(
        lambda module, inputs, output: seen.append(len(inputs[0]))
    )
    yield seen
    handle.remove()


def value_and_gradient(criterion, pair, seed=0):
    reference, estimate, lengths = pair
    torch.manual_seed(seed)
    loss = criterion(reference, estimate, lengths)
    (gradient,) = torch.autograd.grad(loss.sum(), estimate)
    return loss.detach(), gradient


@pytest.mark.parametrize("name", SSL_CRITERIA)
def test_several_layers_are_the_mean_over_them_under_the_same_draws(name, options, pair):
    more = {"temporal": {"weight": 0.1}, "normalize_frames": True}
    several = SSL_CRITERIA[name](**options, **more, layer=LAYERS)
    found = value_and_gradient(several, pair)
    alone = [SSL_CRITERIA[name](**options, **more, layer=layer) for layer in LAYERS]
    values, gradients = zip(*(value_and_gradient(criterion, pair) for criterion in alone), strict=True)
    torch.testing.assert_close(found[0], torch.stack(values).mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1], torch.stack(gradients).mean(0), rtol=1e-3, atol=1e-6)
    for layer, value in zip((1, 3, 0), values, strict=True):
        torch.testing.assert_close(several.stats[f"{name}_layer{layer}"], value, rtol=1e-5, atol=1e-6)
    for key, value in alone[0].stats.items():
        assert several.stats[key].shape == value.shape == (3,)
    temporal = torch.stack([criterion.stats[f"{name}_temporal"] for criterion in alone]).mean(0)
    torch.testing.assert_close(several.stats[f"{name}_temporal"], temporal)


@pytest.mark.parametrize("name", SSL_CRITERIA)
def test_several_layers_pass_each_signal_once(name, options, pair, passes):
    SSL_CRITERIA[name](**options, layer=LAYERS)(*pair)
    assert sum(passes) == 6


def test_criteria_of_other_layers_and_the_recognizer_share_the_estimates_pass(options, pair, passes):
    reference, estimate, lengths = pair
    upstream = get_shared_upstream(**options["upstream"])
    several, one = SSLSoftDTW(**options, layer=LAYERS), SSLSoftDTW(**options, layer=2, name="second")
    with share_passes():
        loss = several(reference, estimate, lengths) + one(reference, estimate, lengths)
        features, _ = upstream.all_layers(estimate, lengths)
        (loss.sum() + features.square().mean()).backward()
    assert sum(passes) == 3 + 2 * 3  # the reference at another speed is another signal
    assert estimate.grad.any()


def formula(options, pair, row, drawn, *, layer, gamma, bandwidth=None):
    """The value of an utterance, its frames cut out of the padded reference by hand."""
    reference, estimate, lengths = (value[row] for value in pair)
    factor, before, after = (column[row] for column in drawn)
    upstream = get_shared_upstream(**options["upstream"])
    slower = SSLSoftDTW(**options).perturb(reference[None, :lengths], None, [factor]).waveform[0]
    padded = torch.cat([torch.zeros(320 * before), slower, torch.zeros(320 * after)])
    x = upstream(estimate[None, :lengths], layers=layer)[0]
    y = upstream(padded[None], layers=layer)[0].detach()
    y = y[:, before : y.shape[1] - after]
    assert y.shape == upstream(slower[None], layers=layer)[0].shape
    x, y = normalize(x, dim=-1), normalize(y, dim=-1)
    value = soft_dtw_divergence(x, y, gamma=gamma, bandwidth=bandwidth, backend="reference")[0]
    return value / max(x.shape[1], y.shape[1])


@pytest.mark.parametrize("place", ["before", "after", "both"])
def test_padding_beside_a_speed_is_its_formula(options, pair, place):
    criterion = SSLSoftDTW(**options, padding={"fraction": [0.1, 0.3], "place": place}, bandwidth=5)
    found, gradient = value_and_gradient(criterion, pair)
    torch.manual_seed(0)
    drawn = criterion.draw(pair[0], pair[2].tolist())
    assert set(drawn[0]) != {1.0}
    assert all(p + q > 0 for p, q in zip(*drawn[1:], strict=True))
    expected = torch.stack([formula(options, pair, row, drawn, layer=-1, gamma=0.1, bandwidth=5) for row in range(3)])
    (slope,) = torch.autograd.grad(expected.sum(), pair[1])
    torch.testing.assert_close(found, expected.detach(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(gradient, slope, rtol=1e-2, atol=1e-3 * float(slope.abs().max()))


def test_all_three_together_are_their_formula(options, pair):
    criterion = SSLSoftDTW(**options, padding={"fraction": [0.1, 0.3]}, layer=[0, -1], gamma=GAMMA)
    criterion.gamma.advance()
    found, _ = value_and_gradient(criterion, pair)
    torch.manual_seed(0)
    drawn = criterion.draw(pair[0], pair[2].tolist())
    for row in range(3):
        layers = [formula(options, pair, row, drawn, layer=layer, gamma=10**-0.5) for layer in (0, -1)]
        torch.testing.assert_close(found[row], torch.stack(layers).mean().detach(), rtol=1e-3, atol=1e-4)


def test_zeros_move_content_and_nothing_else(make_upstream, options, pair):
    """An upstream without position gives the value without zeros; one with position another."""

    def erase(model):
        convolution = model.encoder.transformer.pos_conv_embed
        for weight in convolution.parameters():
            weight.data.zero_()
        convolution.conv.parametrizations.weight.original1.data.fill_(1.0)

    def difference(upstream):
        zeros = SSLSoftDTW(upstream=upstream, layer=0, padding={"fraction": [0.1, 0.2]})
        plain = SSLSoftDTW(upstream=upstream, layer=0)
        padded, expected = (value_and_gradient(criterion, pair)[0] for criterion in (zeros, plain))
        return ((padded - expected).abs() / expected).min(), ((padded - expected).abs() / expected).max()

    free = {"model": "local", "checkpoint": str(make_upstream(edit=erase, **LARGE))}
    bound = {"model": "local", "checkpoint": str(make_upstream(**LARGE))}
    assert difference(free)[1] < 1e-3
    assert difference(bound)[0] > 5e-3


def test_factor_1_band_0_and_zeros_give_ssl_mse_pad(options, pair):
    zeros = {"fraction": [0.1, 0.2], "place": "before"}
    aligned = SSLSoftDTW(**options, factors=[1.0], bandwidth=0, padding=zeros)
    torch.manual_seed(0)
    _, before, _ = aligned.draw(pair[0], pair[2].tolist())
    found, _ = value_and_gradient(aligned, pair)
    expected = SSLMSEPad(**options, normalize_frames=True, **zeros)
    expected.draw = lambda *_: (before, [0, 0, 0])  # the speed takes a number of the generator before
    torch.testing.assert_close(found, value_and_gradient(expected, pair)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_value_and_gradient_in_a_batch_are_those_of_the_utterance_alone(name, variant, options, pair):
    reference, estimate, lengths = pair
    criterion = SSL_CRITERIA[name](**options, **variant, temporal={"weight": 0.1})
    with torch.no_grad():
        together = criterion(reference, estimate, lengths)
        for row, length in enumerate(lengths):
            single = criterion(reference[row : row + 1, :length], estimate[row : row + 1, :length])
            torch.testing.assert_close(together[row], single[0], rtol=1e-3, atol=1e-4)
        reference[0, 9000:], estimate[0, 9000:] = torch.nan, torch.inf
        assert torch.equal(criterion(reference, estimate, lengths), together)
    _, gradient = value_and_gradient(criterion, pair)
    for row, length in enumerate(lengths):
        assert gradient[row, :length].isfinite().all()
        assert gradient[row, :length].any()
        assert not gradient[row, length:].any()


def test_one_layer_in_a_list_is_that_layer(options, pair):
    one, listed = (value_and_gradient(SSLMSE(**options, layer=layer), pair) for layer in (2, [2]))
    assert torch.equal(one[0], listed[0])


def test_gamma_of_each_update_is_used_and_logged(options, pair):
    criterion = SSLSoftDTW(**options, gamma=GAMMA)
    for gamma in (1.0, 10**-0.5, 0.1, 10**-1.5, 0.01, 0.01):
        found = value_and_gradient(criterion, pair)
        torch.testing.assert_close(criterion.stats["ssl_soft_dtw_gamma"], torch.full((3,), gamma))
        expected = value_and_gradient(SSLSoftDTW(**options, gamma=gamma), pair)
        torch.testing.assert_close(found, expected)
        criterion.gamma.advance()


def test_validation_has_the_last_gamma_at_every_epoch(options, pair):
    criterion, last = SSLSoftDTW(**options, gamma=GAMMA), SSLSoftDTW(**options, gamma=GAMMA["to"])
    with torch.no_grad():
        expected = last(*pair)
        for _ in range(3):
            assert torch.equal(criterion(*pair), expected)
            assert criterion.stats["ssl_soft_dtw_gamma"].tolist() == pytest.approx([0.01] * 3)
            criterion.gamma.advance()


def test_a_copy_counts_for_itself_and_a_shared_one_once(options):
    criterion = SSLSoftDTW(**options, gamma=GAMMA)
    criterion.gamma.advance()
    copied = copy.deepcopy(criterion)
    copied.gamma.advance()
    assert (int(criterion.gamma.done), int(copied.gamma.done)) == (1, 2)
    assert copied.upstream.backbone is criterion.upstream.backbone
    shared = torch.nn.ModuleList([criterion, torch.nn.ModuleList([criterion, copied])])
    assert list(schedules(shared)) == [criterion.gamma, copied.gamma]


def test_without_a_schedule_there_is_nothing_to_save(options):
    assert not SSLSoftDTW(**options).state_dict()
    assert list(SSLSoftDTW(**options, gamma=GAMMA).state_dict()) == ["gamma.done"]


@pytest.mark.parametrize("name", ["ssl_mse", "ssl_soft_dtw"])
def test_references_that_come_again_are_computed_once(name, options, pair, passes):
    more = {"normalize_frames": True, "layer": LAYERS}
    plain = value_and_gradient(SSL_CRITERIA[name](**options, **more), pair)
    kept = SSL_CRITERIA[name](**options, **more, reference_cache={"memory": "1MB"})
    first = value_and_gradient(kept, pair)
    torch.testing.assert_close(first, plain, rtol=1e-4, atol=1e-6)
    assert len(kept.cache) == 3
    passes.clear()
    again = value_and_gradient(kept, pair)
    assert sum(passes) == 3  # the estimates
    # Alone in the batch, and with no room to keep anything: the same bits.
    full = SSL_CRITERIA[name](**options, **more, reference_cache={"memory": 1})
    for value, gradient in (again, value_and_gradient(full, pair)):
        assert torch.equal(value, first[0])
        assert torch.equal(gradient, first[1])
    assert len(full.cache) == 0
    reference, _, lengths = pair
    row = int(lengths.argmin())
    together, counts = full.cache(reference, lengths, full.frames)
    alone, _ = full.cache(reference[row : row + 1, : int(lengths[row])], None, full.frames)
    assert torch.equal(together[row, : int(counts[row])], alone[0])
