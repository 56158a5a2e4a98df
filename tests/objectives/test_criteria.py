"""How the criteria behave inside a training that knows nothing of them."""

import copy

import pytest
import torch
from espnet2.enh.loss.criterions.time_domain import TimeDomainLoss
from espnet2.enh.loss.wrappers.fixed_order import FixedOrderSolver
from espnet2.enh.loss.wrappers.pit_solver import PITSolver

from espnet_plugins.objectives import SSL_CRITERIA, SSLCriterion
from espnet_plugins.ssl import get_shared_upstream, share_passes


@pytest.fixture(params=SSL_CRITERIA)
def criterion(request, make_upstream):
    checkpoint = make_upstream()
    return SSL_CRITERIA[request.param](upstream={"model": "local", "checkpoint": str(checkpoint)})


@pytest.fixture
def pair(batch):
    reference, _ = batch
    return reference, (reference + 0.05 * reference.roll(1, 0)).requires_grad_()


@pytest.fixture
def passes(criterion):
    """Batch size of each pass through the upstream's convolutions."""
    seen = []
    model = criterion.upstream.backbone.model(torch.device("cpu"))
    handle = model.model.feature_extractor.conv_layers[0].register_forward_hook(
        lambda module, inputs, output: seen.append(len(inputs[0]))
    )
    yield seen
    handle.remove()


def test_only_used_criteria_read_weights(make_upstream):
    checkpoint = make_upstream(encoder_num_layers=2)
    criteria = [cls(upstream={"model": "local", "checkpoint": str(checkpoint)}) for cls in SSL_CRITERIA.values()]
    backbones = {id(criterion.upstream.backbone) for criterion in criteria}
    assert len(backbones) == 1
    assert not criteria[0].upstream.backbone.loaded


def test_nothing_of_the_upstream_is_in_the_criterion(criterion, pair):
    criterion(*pair)
    assert isinstance(criterion, TimeDomainLoss)
    assert not criterion.state_dict()
    assert not list(criterion.parameters())
    assert copy.deepcopy(criterion).upstream.backbone is criterion.upstream.backbone


def test_training_mode_changes_nothing(criterion, pair):
    with torch.no_grad():  # so that the objective draws the same each time, but dropout would not
        one = criterion.train()(*pair)
        other = criterion.eval()(*pair)
    assert torch.equal(one, other)  # dropout 0.1 and layer drop 0.5 of the upstream would differ


def test_gradient_reaches_the_estimate_alone(criterion, pair):
    reference, estimate = pair
    reference = reference.clone().requires_grad_()
    criterion(reference, estimate).sum().backward()
    assert estimate.grad.any()
    assert reference.grad is None


def test_estimate_and_reference_are_passed_once_each(criterion, pair, passes):
    criterion(*pair)
    assert sum(passes) == 6


def test_recognizer_shares_the_estimates_pass(criterion, pair, passes):
    _, estimate = pair
    lengths = torch.tensor([16000] * 3)
    front_end = get_shared_upstream("local", checkpoint=criterion.upstream.name.rpartition(" ")[2])
    with share_passes():
        loss = criterion(*pair, lengths)
        features, _ = front_end.all_layers(estimate, lengths)
        (loss.sum() + features.square().mean()).backward()
    assert sum(passes) == 6
    assert estimate.grad.any()


def test_two_criteria_pass_the_estimate_once(criterion, pair, passes):
    with share_passes():
        criterion(*pair)
        torch.manual_seed(0)
        criterion(*pair)
    plain = criterion.name == "ssl_mse"  # the others perturb the reference, afresh each time
    assert sum(passes) == (6 if plain else 9)


def test_bfloat16_autocast_gives_the_float32_value(criterion, pair):
    torch.manual_seed(0)
    expected = criterion(*pair)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = criterion(*pair)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_new_objectives_are_computed_in_float32_too(criterion, pair):
    class Product(SSLCriterion):
        default_name = "product"

        def distance(self, estimate, reference, estimate_lengths, reference_lengths):
            return (estimate @ estimate.transpose(1, 2)).sum((1, 2))

    product = Product(upstream={"model": "local", "checkpoint": criterion.upstream.name.rpartition(" ")[2]})
    expected = product(*pair)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(product(*pair), expected)


def test_bfloat16_estimates(criterion, pair):
    reference, estimate = pair
    half = estimate.detach().bfloat16().requires_grad_()
    torch.manual_seed(0)
    expected = criterion(reference, half.detach().float())
    torch.manual_seed(0)
    loss = criterion(reference, half)
    torch.testing.assert_close(loss, expected)
    loss.sum().backward()
    assert half.grad.isfinite().all()


def test_validation_repeats(criterion, pair):
    with torch.no_grad():
        assert torch.equal(criterion(*pair), criterion(*pair))


def test_training_perturbs_afresh(criterion, pair):
    values = [criterion(*pair) for _ in range(4)]
    same = all(torch.equal(values[0], value) for value in values[1:])
    assert same == (criterion.name == "ssl_mse")


def test_espnets_own_wrappers_take_it(criterion, pair):
    reference, estimate = pair
    loss, stats, _ = FixedOrderSolver(criterion)([reference], [estimate])
    loss.backward()
    assert estimate.grad.any()
    assert stats[criterion.name] == loss.detach()
    assert all(value.ndim == 0 for value in stats.values())
    other = reference.flip(1)
    with torch.no_grad():
        _, _, others = PITSolver(criterion)([reference, other], [other.clone(), reference.clone()])
    assert others["perm"].tolist() == [[1, 0]] * 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_follows_the_device(criterion, pair, batch, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    reference, estimate = pair
    with torch.no_grad():
        expected = criterion(reference, estimate, batch[1])
        found = criterion(reference.cuda(), estimate.cuda(), batch[1].cuda())
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-2, atol=1e-3)
