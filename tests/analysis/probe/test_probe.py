"""The positional probe: its poles, what lies between, its intervals, against brute force."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

from espnet_plugins.analysis.probe import ProbeError, ProbeResult
from espnet_plugins.analysis.probe.decomposition import Vectors
from espnet_plugins.analysis.probe.figure import plot_probe
from espnet_plugins.analysis.probe.measure import probe
from espnet_plugins.analysis.probe.rings import draw_turns, turn
from espnet_plugins.objectives import SSL_CRITERIA
from espnet_plugins.ssl import build_upstream

DIM, FRAMES = 8, 12


class Synthetic:
    """Frames that are a filtered waveform, times `content`, plus a code of the index, times `code`.

    The convolution has no padding, so that without a code the frames of a turned ring are the turned frames.
    """

    name, hop_length, receptive_field, n_layers, sample_rate = "synthetic", 20, 30, 0, 1000

    def __init__(self, *, content, code):
        generator = torch.Generator().manual_seed(3)
        self.filters = content * torch.randn(self.receptive_field, DIM, generator=generator) / 30**0.5
        self.code = code * torch.randn(FRAMES, DIM, generator=generator)

    def __call__(self, waveform, lengths=None, *, layers=None):
        frames = waveform.unfold(1, self.receptive_field, self.hop_length) @ self.filters
        return frames + self.code[: frames.shape[1]], torch.full((len(waveform),), frames.shape[1])

    def all_layers(self, waveform):
        frames, lengths = self(waveform)
        return frames[None], lengths

    def pad_and_compare(self, reference, frames, lengths):
        """SSL-MSE-PAD with one frame of zeros in front."""
        padded = torch.nn.functional.pad(reference, (self.hop_length, 0))
        generator = torch.Generator().manual_seed(3)
        torch.randn(self.receptive_field, DIM, generator=generator)
        long_code = torch.cat([self.code, self.code[:1]])
        target = padded.unfold(1, self.receptive_field, self.hop_length) @ self.filters + long_code
        return (frames - target[:, 1:]).square().sum((1, 2))

    def compare(self, reference, frames, lengths):
        """SSL-MSE."""
        return (frames - self(reference)[0]).square().sum((1, 2))


def speech(count=24, samples=400, seed=0):
    """Noise with an onset: all utterances are silent at the start and at the end, as recordings are."""
    generator = torch.Generator().manual_seed(seed)
    envelope = torch.sin(torch.linspace(0, math.pi, samples)).square()
    return [envelope * torch.randn(samples, generator=generator) for _ in range(count)]


def run(upstream, utterances=None, **options):
    settings = {"frames": FRAMES, "turns": 4, "unit_length": False, "resamples": 300, **options}
    return probe(upstream, speech() if utterances is None else utterances, **settings)


def test_a_position_free_upstream_has_none():
    upstream = Synthetic(content=1.0, code=0.0)
    objectives = {0: {"mse": upstream.compare, "pad": upstream.pad_and_compare}}
    layer = run(upstream, objectives=objectives).layers[0]
    assert abs(layer.states.index.value) < 0.03
    assert layer.states.index.low <= 0 <= layer.states.index.high
    assert abs(layer.states.moved.value) < 1e-6
    for share in layer.gradients.values():
        assert abs(share.value) < 0.05
        assert share.low <= 0 <= share.high


def test_the_estimate_is_zero_on_the_average_without_positions():
    """Silence at both ends correlates with the index; turning the rings takes that out, without bias."""
    upstream = Synthetic(content=1.0, code=0.0)
    values = [run(upstream, speech(8, seed=k), seed=k, resamples=2).layers[0].states.index.value for k in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / len(values) ** 0.5
    assert np.mean(np.array(values) < 0) > 0.3


def test_without_turning_silence_would_pass_for_position():
    upstream = Synthetic(content=1.0, code=0.0)
    vectors = Vectors()
    power = upstream(torch.stack(speech(samples=FRAMES * 20 + 10)))[0].square()
    for utterance in power:
        vectors.add(utterance[None], shifts=[0])
    assert vectors.shares().index.low > 0.1


def test_frames_that_are_a_code_of_their_index_have_nothing_else():
    upstream = Synthetic(content=0.0, code=1.0)
    objectives = {0: {"mse": upstream.compare, "pad": upstream.pad_and_compare}}
    layer = run(upstream, objectives=objectives).layers[0]
    assert layer.states.index.value == pytest.approx(1, abs=1e-5)
    assert layer.states.moved.value == pytest.approx(1, abs=0.1)
    # Estimate and reference are the same frames: there is no gradient to be explained.
    assert math.isnan(layer.gradients["mse"].value)
    assert layer.gradients["pad"].value == pytest.approx(1, abs=1e-5)


def test_more_of_the_code_gives_more_of_everything():
    results = [run(Synthetic(content=1.0, code=code)).layers[0].states for code in (0.0, 0.2, 0.4, 0.8, 1.6)]
    for smaller, larger in itertools.pairwise(results):
        assert smaller.index.value < larger.index.value
        assert smaller.moved.value < larger.moved.value
    assert 0.2 < results[3].index.value < 0.9


def test_a_padded_reference_puts_the_code_into_the_gradient_and_an_aligned_one_does_not():
    upstream = Synthetic(content=0.1, code=1.0)
    objectives = {0: {"mse": upstream.compare, "pad": upstream.pad_and_compare}}
    gradients = run(upstream, objectives=objectives).layers[0].gradients
    assert abs(gradients["mse"].value) < 0.05
    assert gradients["pad"].low > 0.5


def test_attention_without_positions_is_position_free_and_with_sinusoids_is_not(make_upstream):
    """On the real module, at every layer; HuBERT's convolution lies between."""
    generator = torch.Generator().manual_seed(0)
    utterances = [0.1 * torch.randn(16000, generator=generator) for _ in range(8)]
    shares = {}
    for positions in ("none", "conv", "conv_sinusoidal"):
        path = make_upstream(extractor_mode="layer_norm", positions=positions)
        result = probe(build_upstream("local", checkpoint=path), utterances, frames=40, resamples=100)
        shares[positions] = [layer.states for layer in result.layers.values()]
    for none, conv, sinusoidal in zip(*shares.values(), strict=True):
        assert abs(none.index.value) < 0.02
        assert none.moved.value < 1e-4
        assert none.moved.value < conv.moved.value < sinusoidal.moved.value
        assert conv.index.value < sinusoidal.index.value
        assert sinusoidal.index.low > 0.1


def test_objectives_of_the_library_meet_the_same_draws_for_every_utterance(make_upstream):
    path = make_upstream(extractor_mode="layer_norm", positions="conv_sinusoidal")
    upstream = {"model": "local", "checkpoint": str(path)}
    generator = torch.Generator().manual_seed(0)
    utterances = [0.1 * torch.randn(16000, generator=generator) for _ in range(6)]
    criterion = SSL_CRITERIA["ssl_mse_pad"](upstream=upstream)
    seen = []

    def loss(reference, frames, lengths):
        seen.append(criterion.draw(reference, [reference.shape[1]] * len(reference)))
        return frames.sum((1, 2))

    state = torch.get_rng_state()
    probe(build_upstream(**upstream), utterances, objectives={3: {"pad": loss}}, frames=40, resamples=10)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(seen) == 6
    assert all(draw == seen[0] for draw in seen)
    assert len(set(zip(*seen[0], strict=True))) > 1


def test_shares_are_what_the_distances_of_all_pairs_say():
    generator = torch.Generator().manual_seed(1)
    utterances = torch.randn(5, 1, 7, 3, generator=generator) + torch.randn(7, 3, generator=generator)
    vectors = Vectors()
    for utterance in utterances:
        vectors.add(utterance, shifts=[0])
    pairs = list(itertools.permutations(range(5), 2))
    same = [(utterances[a, 0, i] - utterances[b, 0, i]).square().sum() for a, b in pairs for i in range(7)]
    anywhere = [
        (utterances[a, 0, i] - utterances[b, 0, j]).square().sum()
        for a, b in pairs
        for i, j in itertools.product(range(7), repeat=2)
    ]
    expected = 1 - torch.stack(same).mean() / torch.stack(anywhere).mean()
    assert vectors.shares().index.value == pytest.approx(expected.item(), rel=1e-5)


def test_what_moves_is_the_variance_over_all_places_of_a_content():
    """With every turn drawn, the estimate is the population's variance; with some, its mean."""
    generator = torch.Generator().manual_seed(2)
    count = 6
    tables = torch.randn(4, count, count, 3, generator=generator, dtype=torch.float64)  # utterance, content, index
    index = torch.arange(count)

    def opened(table, shift):
        return table[(index - shift) % count, index]

    def moved(drawn):
        vectors = Vectors()
        for table, shifts in zip(tables, drawn, strict=True):
            vectors.add(torch.stack([opened(table, shift) for shift in shifts]), shifts=list(shifts))
        return vectors

    everything = moved([range(count)] * 4)
    expected = tables.var(2, correction=0).sum(-1).mean().item()
    assert np.mean(everything._moved) == pytest.approx(expected)
    some = [np.mean(moved([shifts] * 4)._moved) for shifts in itertools.combinations(range(count), 2)]
    assert np.mean(some) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_intervals_cover_the_truth(share):
    """A random-effects model whose share is known: 95 % intervals hold it in nine of ten repetitions or more."""
    generator = torch.Generator().manual_seed(5)
    code = torch.randn(10, 4, generator=generator)
    code -= code.mean(0)
    code *= (share / code.square().sum(1).mean()).sqrt()
    covered = 0
    for _ in range(100):
        vectors = Vectors()
        for _ in range(20):
            content = torch.randn(1, 10, 4, generator=generator) * ((1 - share) / 4) ** 0.5
            vectors.add(code + content, shifts=[0])
        found = vectors.shares(resamples=200).index
        covered += found.low <= share <= found.high
    assert covered >= 90


def test_a_turned_ring_gives_the_turned_frames():
    upstream = Synthetic(content=1.0, code=0.0)
    ring = torch.randn(FRAMES * upstream.hop_length, generator=torch.Generator().manual_seed(0))
    opened = turn(ring, [0, 5], hop_length=upstream.hop_length, receptive_field=upstream.receptive_field)
    still, turned = upstream(opened)[0]
    torch.testing.assert_close(turned, still.roll(5, 0))
    drawn = draw_turns(50, FRAMES, 3, generator=torch.Generator().manual_seed(0))
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    assert set(drawn.flatten().tolist()) == set(range(FRAMES))


def test_the_same_seed_gives_the_same_numbers():
    upstream = Synthetic(content=1.0, code=0.3)
    assert run(upstream) == run(upstream)
    assert run(upstream).layers != run(upstream, seed=1).layers


def test_too_few_utterances_are_named():
    with pytest.raises(ProbeError, match=r"3 of 5 utterances have the 240 samples.*shorter probes"):
        run(Synthetic(content=1.0, code=0.0), speech(3) + speech(2, samples=100))


def test_a_result_survives_its_file(tmp_path):
    upstream = Synthetic(content=0.0, code=1.0)
    result = run(upstream, objectives={0: {"mse": upstream.compare, "pad": upstream.pad_and_compare}})
    path = tmp_path / "probe.json"
    result.write(path)
    json.loads(path.read_text(), parse_constant=pytest.fail)
    again = ProbeResult.read(path)
    assert again.table() == result.table()
    assert again.layers[0].states == result.layers[0].states
    assert math.isnan(again.layers[0].gradients["mse"].value)
    assert result.table().rows[0][3] == "-"
    assert result.table().rows[0][4].startswith("100.0 [")
    path.write_text('{"format": "other"}')
    with pytest.raises(ProbeError, match=r"probe\.json cannot be read.*probe again"):
        ProbeResult.read(path)


def test_the_figure_shows_every_layer_and_leaves_out_what_is_no_number():
    upstream = Synthetic(content=0.0, code=1.0)
    result = run(upstream, objectives={0: {"mse": upstream.compare, "pad": upstream.pad_and_compare}})
    frames, gradients = plot_probe(result).axes
    assert [label.get_text() for label in frames.get_legend().get_texts()] == ["same index", "content moved"]
    drawn = [container.lines[0].get_ydata() for container in gradients.containers]
    assert [len(values) for values in drawn] == [0, 1]
    assert drawn[1][0] == pytest.approx(100, abs=1e-3)
