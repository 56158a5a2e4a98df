import dataclasses

import pytest
import torch

from espnet_plugins.objectives import SSLMSEPad, SSLSoftDTW
from espnet_plugins.objectives.draws import utterance_generators
from espnet_plugins.objectives.ssl_soft_dtw import PAPER_FACTORS
from espnet_plugins.perturb import stretched_length

REFERENCE = torch.zeros(1, 1).expand(400, 64000)
SAMPLES = [64000] * 400


def test_padding_is_uniform_within_the_fraction_and_whole_hops(options):
    torch.manual_seed(0)
    before, after = SSLMSEPad(**options).draw(REFERENCE, SAMPLES)
    total = torch.tensor(before) + torch.tensor(after)
    # 64000 samples: 1280 to 3200 of zeros are 4 to 10 hops
    assert total.unique().tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert 6.5 < total.float().mean() < 7.5
    assert total.bincount()[[4, 10]].max() < total.bincount()[5:10].min()  # rounding gives the ends half
    share = torch.tensor(before) / total
    assert share.min() == 0
    assert share.max() == 1
    assert 0.45 < share.mean() < 0.55


@pytest.mark.parametrize(("place", "empty"), [("before", 1), ("after", 0)])
def test_padding_on_one_side(options, place, empty):
    drawn = SSLMSEPad(**options, place=place).draw(REFERENCE, SAMPLES)
    assert not any(drawn[empty])
    assert all(drawn[1 - empty])


def test_padding_beside_a_speed_is_drawn_as_alone_and_leaves_the_speed_as_it_was(options):
    def draw(**more):
        torch.manual_seed(0)
        return SSLSoftDTW(**options, **more).draw(REFERENCE, SAMPLES)

    plain, padded = draw(), draw(padding={})
    assert padded[0] == plain[0]
    assert not any(plain[1] + plain[2])
    factors, before, after = (torch.tensor(values, dtype=torch.float64) for values in padded)
    total = before + after
    assert total.unique().tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert 6.5 < total.mean() < 7.5
    assert 0.45 < (before / total).mean() < 0.55
    for hops in (before, total):
        assert torch.corrcoef(torch.stack([factors, hops]))[0, 1].abs() < 0.2


def test_every_factor_is_equally_likely(options):
    torch.manual_seed(0)
    drawn = torch.tensor([SSLSoftDTW(**options).draw(REFERENCE, SAMPLES)[0] for _ in range(5)]).flatten()
    values, counts = drawn.unique(return_counts=True)
    torch.testing.assert_close(values, torch.tensor(PAPER_FACTORS))
    # 2000 draws of 9: 222 each, standard deviation 14
    assert (counts - 2000 / 9).abs().max() < 4.5 * 14


def test_a_range_is_drawn_in_hundredths(options):
    criterion = SSLSoftDTW(**options, factors={"low": 0.9, "high": 1.1})
    assert len(criterion.factors) == 21
    assert (criterion.factors[0], criterion.factors[10], criterion.factors[20]) == (0.9, 1.0, 1.1)


def test_training_draws_afresh_and_a_resumed_epoch_repeats(options):
    criterion = SSLMSEPad(**options)
    torch.manual_seed(7)  # what ESPnet does at the start of an epoch
    epoch = [criterion.draw(REFERENCE, SAMPLES) for _ in range(3)]
    assert epoch[0] != epoch[1] != epoch[2]
    torch.manual_seed(7)
    assert [criterion.draw(REFERENCE, SAMPLES) for _ in range(3)] == epoch
    torch.manual_seed(8)
    assert criterion.draw(REFERENCE, SAMPLES) != epoch[0]


def test_utterances_of_a_batch_draw_independently():
    torch.manual_seed(0)
    drawn = torch.stack([torch.rand(2, generator=g) for g in utterance_generators(REFERENCE, SAMPLES)])
    assert len(drawn.unique(dim=0)) == len(SAMPLES)
    correlation = torch.corrcoef(torch.stack([drawn[:-1, 0], drawn[1:, 0]]))[0, 1]
    assert correlation.abs() < 0.2


def test_ranks_draw_their_own(monkeypatch):
    def draw(rank):
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
        torch.manual_seed(0)
        generators = utterance_generators(REFERENCE, SAMPLES)
        return torch.stack([torch.rand(3, generator=generator) for generator in generators])

    assert torch.equal(draw(0), draw(0))
    assert len(torch.cat([draw(0), draw(1), draw(2)]).unique(dim=0)) == 3 * len(SAMPLES)


def test_validation_repeats_and_leaves_the_generator_alone(options, batch):
    criterion = SSLSoftDTW(**options, padding={"fraction": [0.1, 0.5]})
    waveform, lengths = batch
    state = torch.get_rng_state()
    with torch.no_grad():
        first = criterion.draw(waveform, lengths.tolist())
        alone = [criterion.draw(waveform[row : row + 1, :n], [n]) for row, n in enumerate(lengths.tolist())]
    assert first == tuple([value for (value,) in column] for column in zip(*alone, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_validation_covers_the_factors(options):
    references = torch.randn(200, 2000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        drawn, *_ = SSLSoftDTW(**options).draw(references, [2000] * 200)
    assert set(drawn) == set(PAPER_FACTORS)


@pytest.fixture
def limited(options, monkeypatch):
    """Criteria over an upstream that takes 64000 samples at most, as Whisper takes 30 s."""

    def make(criterion, **more):
        made = criterion(**options, **more)
        monkeypatch.setattr(made.upstream, "longest", 64000)
        monkeypatch.setattr(
            made.upstream.backbone, "spec", dataclasses.replace(made.upstream.backbone.spec, longest=64000)
        )
        return made

    return make


@pytest.mark.parametrize("padding", [None, {"fraction": [0.1, 0.2]}])
def test_no_reference_becomes_longer_than_the_upstream_takes(limited, padding):
    criterion = limited(SSLSoftDTW, padding=padding)
    samples = [64000] * 100 + [57000] * 100 + [40000] * 100
    factors, before, after = criterion.draw(REFERENCE[:300], samples)
    lengths = [
        stretched_length(n, f) + 320 * (p + q) for n, f, p, q in zip(samples, factors, before, after, strict=True)
    ]
    assert max(lengths) <= 64000
    # Every speed that fits is drawn: all from 1, from 0.9, and all there are.
    assert [set(factors[k : k + 100]) for k in (0, 100, 200)] == [set(PAPER_FACTORS[k:]) for k in (4, 2, 0)]
    reference = 0.1 * torch.randn(2, 64000, generator=torch.Generator().manual_seed(0))
    assert criterion(reference, reference, torch.tensor([64000, 63000])).isfinite().all()


def test_zeros_are_no_more_than_there_is_room_for(limited):
    criterion = limited(SSLMSEPad)
    before, after = criterion.draw(REFERENCE[:3], [64000, 64000 - 2 * 320 - 1, 32000])
    assert [p + q for p, q in zip(before, after, strict=True)][:2] == [0, 2]
    assert before[2] + after[2] >= 2
    reference = 0.1 * torch.randn(1, 64000, generator=torch.Generator().manual_seed(0))
    assert criterion(reference, reference).item() == 0


def test_an_utterance_that_is_too_long_at_every_speed_is_named(limited):
    criterion = limited(SSLSoftDTW, factors=[0.8, 0.9])
    with pytest.raises(
        ValueError, match=r"factors: at none of 0\.8, 0\.9 is utterance 1 .* of 3\.88 s, within the 4 s"
    ):
        criterion.draw(REFERENCE[:2], [40000, 62000])
