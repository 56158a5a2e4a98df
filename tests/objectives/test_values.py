import pytest
import torch
from tiny_architectures import LARGE
from torch.nn.functional import normalize

from espnet_plugins.objectives import SSL_CRITERIA as CRITERIA
from espnet_plugins.objectives import SSLMSE, SSLMSEPad, SSLSoftDTW
from espnet_plugins.perturb import speed
from espnet_plugins.soft_dtw import soft_dtw, soft_dtw_divergence
from espnet_plugins.ssl import get_shared_upstream


@pytest.fixture
def position_free(make_upstream):
    """Options of an upstream that is convolutions alone: no norm over time, no positional convolution."""

    def erase(model):
        for weight in model.encoder.transformer.pos_conv_embed.parameters():
            weight.data.zero_()
        model.encoder.transformer.pos_conv_embed.conv.parametrizations.weight.original0.data.zero_()
        model.encoder.transformer.pos_conv_embed.conv.parametrizations.weight.original1.data.fill_(1.0)

    checkpoint = make_upstream(edit=erase, **LARGE)
    return {"upstream": {"model": "local", "checkpoint": str(checkpoint)}, "layer": 0}


def frames_alone(options, waveform, layer=-1):
    with torch.no_grad():
        return get_shared_upstream(**options["upstream"])(waveform.unsqueeze(0), layers=layer)[0][0]


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("layer", [-1, 1])
def test_ssl_mse_is_its_formula(options, pair, unit, layer):
    reference, estimate, lengths = pair
    found = SSLMSE(**options, layer=layer, normalize_frames=unit)(reference, estimate, lengths)
    assert found.shape == (3,)
    for row, length in enumerate(lengths):
        x = frames_alone(options, estimate[row, :length], layer)
        y = frames_alone(options, reference[row, :length], layer)
        if unit:
            x, y = x / x.norm(dim=1, keepdim=True), y / y.norm(dim=1, keepdim=True)
        expected = sum(((x[i] - y[i]) ** 2).sum() for i in range(len(x))) / len(x)
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("place", ["before", "after", "both"])
def test_ssl_mse_pad_is_its_formula(options, pair, place):
    reference, estimate, lengths = pair
    criterion = SSLMSEPad(**options, place=place, fraction=[0.05, 0.2])
    torch.manual_seed(0)
    found = criterion(reference, estimate, lengths)
    torch.manual_seed(0)
    before, after = criterion.draw(reference, lengths.tolist())
    assert sum(before + after) > 0
    for row, length in enumerate(lengths):
        padded = torch.cat([torch.zeros(320 * before[row]), reference[row, :length], torch.zeros(320 * after[row])])
        x, y = frames_alone(options, estimate[row, :length]), frames_alone(options, padded)
        assert len(y) == len(x) + before[row] + after[row]
        expected = sum(((x[i] - y[i + before[row]]) ** 2).sum() for i in range(len(x))) / len(x)
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("place", ["before", "after", "both"])
def test_padding_pairs_the_right_frames(position_free, options, pair, place):
    def both(options):
        torch.manual_seed(0)
        padded = SSLMSEPad(**options, place=place, fraction=[0.1, 0.2])
        return padded(*pair), SSLMSE(**options)(*pair)

    torch.testing.assert_close(*both(position_free), rtol=1e-4, atol=1e-5)
    with_position, plain = both(options)
    assert ((with_position - plain).abs() > 1e-2 * plain).all()


def test_position_matters_through_the_positional_convolution_alone(make_upstream, position_free, pair):
    checkpoint = make_upstream(**LARGE)
    options = {**position_free, "upstream": {"model": "local", "checkpoint": str(checkpoint)}}
    torch.manual_seed(0)
    padded, plain = SSLMSEPad(**options, fraction=[0.1, 0.2])(*pair), SSLMSE(**options)(*pair)
    assert ((padded - plain).abs() > 1e-2 * plain).all()


@pytest.mark.parametrize("divergence", [True, False])
@pytest.mark.parametrize("per_frame", [True, False])
@pytest.mark.parametrize("perturbation", ["speed", "tempo"])
def test_ssl_soft_dtw_is_its_formula(options, pair, divergence, per_frame, perturbation):
    reference, estimate, lengths = pair
    criterion = SSLSoftDTW(
        **options, divergence=divergence, per_frame=per_frame, perturbation=perturbation, bandwidth=5
    )
    torch.manual_seed(0)
    found = criterion(reference, estimate, lengths)
    torch.manual_seed(0)
    factors, *_ = criterion.draw(reference, lengths.tolist())
    assert set(factors) != {1.0}
    for row, length in enumerate(lengths):
        slower = criterion.perturb(reference[row : row + 1, :length], None, [factors[row]]).waveform[0]
        x = normalize(frames_alone(options, estimate[row, :length])).unsqueeze(0)
        y = normalize(frames_alone(options, slower)).unsqueeze(0)
        align = soft_dtw_divergence if divergence else soft_dtw
        expected = align(x, y, gamma=0.1, bandwidth=5, backend="reference")[0]
        if per_frame:
            expected = expected / max(x.shape[1], y.shape[1])
        torch.testing.assert_close(found[row], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("divergence", [True, False])
def test_factor_1_and_band_0_give_ssl_mse(options, pair, unit, divergence):
    plain = SSLMSE(**options, normalize_frames=unit)(*pair)
    aligned = SSLSoftDTW(**options, factors=[1.0], bandwidth=0, normalize_frames=unit, divergence=divergence)(*pair)
    torch.testing.assert_close(aligned, plain, rtol=1e-4, atol=1e-5)


def test_the_reference_itself_is_the_optimum(options, pair):
    reference, _, lengths = pair
    assert SSLMSE(**options)(reference, reference.clone(), lengths).abs().max() < 1e-6
    same = reference.clone().requires_grad_()
    loss = SSLSoftDTW(**options, factors=[1.0])(reference, same, lengths)
    (gradient,) = torch.autograd.grad(loss.sum(), same)
    torch.testing.assert_close(loss, torch.zeros(3), rtol=0, atol=1e-5)
    assert gradient.abs().max() < 1e-3


@pytest.mark.parametrize("name", CRITERIA)
def test_value_and_gradient_in_a_batch_are_those_of_the_utterance_alone(name, options, pair):
    reference, estimate, lengths = pair
    criterion = CRITERIA[name](**options, temporal={"weight": 0.1})
    with torch.no_grad():
        together = criterion(reference, estimate, lengths)
        for row, length in enumerate(lengths):
            single = criterion(reference[row : row + 1, :length], estimate[row : row + 1, :length])
            torch.testing.assert_close(together[row], single[0], rtol=1e-3, atol=1e-4)
    (gradient,) = torch.autograd.grad(criterion(reference, estimate, lengths).sum(), estimate)
    assert gradient.isfinite().all()
    for row, length in enumerate(lengths):
        assert gradient[row, :length].any()
        assert not gradient[row, length:].any()


@pytest.mark.parametrize("name", CRITERIA)
def test_what_stands_behind_the_end_has_no_effect(name, options, pair):
    reference, estimate, lengths = pair
    criterion = CRITERIA[name](**options)
    with torch.no_grad():
        expected = criterion(reference, estimate, lengths)
        reference[0, 9000:], estimate[0, 9000:] = torch.nan, torch.inf
        assert torch.equal(criterion(reference, estimate, lengths), expected)


def test_temporal_regularizer_is_its_formula(options, pair):
    reference, estimate, lengths = pair
    settings = {"weight": 0.3, "margin": 1.2, "sigma": 1}
    regularized = SSLMSE(**options, normalize_frames=True, temporal=settings)
    plain = SSLMSE(**options, normalize_frames=True)
    with torch.no_grad():
        added = regularized(reference, estimate, lengths) - plain(reference, estimate, lengths)
    for row, length in enumerate(lengths):
        x = normalize(frames_alone(options, estimate[row, :length]))
        expected = 0.0
        for i in range(len(x)):
            for j in range(len(x)):
                distance, weight = (x[i] - x[j]).norm(), (i - j) ** 2 + 1
                near = abs(i - j) <= 1
                expected += distance / weight if near else weight * max(1.2 - distance, 0.0)
        expected = expected / len(x) ** 2
        torch.testing.assert_close(regularized.stats["ssl_mse_temporal"][row], expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(added[row], 0.3 * expected, rtol=1e-2, atol=1e-3)


def test_temporal_regularizer_of_equal_frames_has_a_gradient():
    from espnet_plugins.objectives.temporal import TemporalRegularizer

    frames = torch.ones(1, 4, 3, requires_grad=True)
    TemporalRegularizer()(frames, torch.tensor([4])).sum().backward()
    assert frames.grad.isfinite().all()


def test_temporal_regularizer_tells_close_frames_apart():
    from espnet_plugins.objectives.temporal import TemporalRegularizer

    # Matrix products would lose these distances beside the frames' length of 100.
    frames = 100 + 0.01 * torch.randn(1, 30, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frames = frames.float()
    lengths, regularizer = torch.tensor([30]), TemporalRegularizer(margin=0.02)
    expected = regularizer(frames.double(), lengths).float()
    torch.testing.assert_close(regularizer(frames, lengths), expected, rtol=1e-3, atol=0)


def test_stats_report_raw_and_per_frame(options, pair):
    criterion = SSLSoftDTW(**options, factors=[1.0], name="mine")
    loss = criterion(*pair)
    frames = torch.tensor([27, 49, 38])
    assert set(criterion.stats) == {"mine_raw", "mine_per_frame"}
    torch.testing.assert_close(criterion.stats["mine_per_frame"], loss.detach())
    torch.testing.assert_close(criterion.stats["mine_raw"], loss.detach() * frames)
    assert not any(value.requires_grad for value in criterion.stats.values())


def test_speed_perturbs_the_reference_alone(options, pair, monkeypatch):
    reference, estimate, lengths = pair
    seen = []
    upstream = SSLSoftDTW(**options).upstream
    forward = type(upstream).forward

    def watch(self, waveform, *args, **kwargs):
        seen.append(waveform)
        return forward(self, waveform, *args, **kwargs)

    monkeypatch.setattr(type(upstream), "forward", watch)
    SSLSoftDTW(**options, factors=[0.8])(reference, estimate, lengths)
    assert len(seen) == 2
    assert seen[0] is estimate
    assert torch.equal(seen[1], speed(reference, lengths, [0.8] * 3).waveform)
