import pytest
import torch
from tiny_whisper import TINY, tiny_encoder, write_openai

from espnet_plugins.analysis.probe.measure import probe
from espnet_plugins.ssl import UpstreamWithoutPosition, build_upstream, share_passes, without_position


def utterances(count, *, seed, seconds=1.5):
    """Noise whose level comes and goes, so that frames differ within an utterance and between utterances."""
    generator = torch.Generator().manual_seed(seed)
    samples = int(seconds * 16000)
    made = []
    for _ in range(count):
        level = torch.nn.functional.interpolate(torch.rand(1, 1, 12, generator=generator), samples, mode="linear")[0, 0]
        made.append(level**3 * torch.randn(samples, generator=generator))
    return made


def write_whisper(folder, scale):
    encoder = tiny_encoder()
    encoder.positional_embedding.mul_(scale)
    return write_openai(folder / f"{scale}.pt", encoder.state_dict())


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    """A random Whisper in whose frames position is a half."""
    return write_whisper(tmp_path_factory.mktemp("whisper"), 0.2)


@pytest.fixture
def upstream(whisper):
    return build_upstream("whisper", checkpoint=whisper, layers="all")


def without(upstream, *, speech=None, unit_length=True, **options):
    speech = utterances(40, seed=1) if speech is None else speech
    return UpstreamWithoutPosition(upstream, speech=lambda: speech, key="noise", unit_length=unit_length, **options)


@pytest.mark.parametrize("unit_length", [True, False])
def test_the_probe_finds_nothing(upstream, unit_length, tmp_path):
    probed = utterances(24, seed=2, seconds=2.2)
    options = {"unit_length": unit_length, "resamples": 10}
    before = probe(upstream, probed, **options).layers
    after = probe(without(upstream, unit_length=unit_length), probed, **options).layers
    nowhere = build_upstream("whisper", checkpoint=write_whisper(tmp_path, 0.0))
    never = probe(nowhere, probed, **options).layers
    for layer in range(TINY.layers + 1):
        assert before[layer].states.index.value > 0.4
    # Known exactly at layer 0, where the convolutions' own edges are left.
    assert after[0].states.index.value == pytest.approx(never[0].states.index.value, abs=1e-4)
    for layer in range(1, TINY.layers + 1):
        assert abs(after[layer].states.index.value) < 0.02


def test_a_known_code_is_taken_off_as_it_is(upstream):
    waveform = torch.randn(2, 20000)
    code = upstream.backbone.model(waveform.device).positional_embedding
    frames, lengths = without(upstream, speech=[])(waveform, torch.tensor([20000, 9000]), layers=0)
    expected, _ = upstream(waveform, torch.tensor([20000, 9000]), layers=0)
    for row, count in enumerate(lengths.tolist()):
        torch.testing.assert_close(frames[row, :count], expected[row, :count] - code[:count])
        assert (frames[row, count:] == 0).all()


def test_raw_frames_lose_the_mean_at_each_index(upstream):
    speech = utterances(6, seed=3)
    waveform = torch.randn(1, 16000)
    wrapped = without(upstream, speech=speech, unit_length=False)
    frames = wrapped(waveform, layers=2)[0]
    turned = torch.cat([wrapped._turned(utterance, 100, [2], waveform.device)[0] for utterance in speech])
    mean = turned.mean(0)
    common = mean - mean.mean(0)
    torch.testing.assert_close(frames, upstream(waveform, layers=2)[0] - common[:50], rtol=0, atol=1e-5)


def test_a_padded_batch_is_each_utterance_alone(upstream):
    wrapped = without(upstream)
    waveform = torch.randn(3, 40000)
    lengths = torch.tensor([40000, 20000, 33000])  # 125, 63 and 103 frames: two sizes of estimate
    frames, counts = wrapped(waveform, lengths)
    for row, (length, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True)):
        alone = wrapped(waveform[row : row + 1, :length])[0]
        torch.testing.assert_close(frames[:, row, :count], alone[:, 0], rtol=0, atol=1e-4)
        assert (frames[:, row, count:] == 0).all()


def test_the_estimate_does_not_depend_on_what_came_before(upstream, whisper):
    waveform = torch.randn(1, 16000)
    first = without(upstream)(waveform, layers=2)[0]
    other = build_upstream("whisper", checkpoint=whisper)
    wrapped = without(other)
    wrapped(torch.randn(1, 50000), layers=[3, 1])
    torch.testing.assert_close(wrapped(waveform, layers=2)[0], first, rtol=0, atol=1e-5)


def test_estimated_once_and_kept_with_the_weights(upstream):
    calls = []

    def speech():
        calls.append(1)
        return utterances(5, seed=4)

    options = {"speech": speech, "key": "counted", "unit_length": True}
    waveform = torch.randn(1, 16000)
    UpstreamWithoutPosition(upstream, **options)(waveform, layers=[1, 2])
    UpstreamWithoutPosition(upstream, **options)(waveform, layers=2)
    assert len(calls) == 1


def test_gradients_and_shared_passes_are_untouched(upstream):
    waveform = torch.randn(1, 16000, requires_grad=True)
    wrapped = without(upstream)
    with share_passes():
        plain = upstream(waveform, layers=3)[0]
        frames = wrapped(waveform, layers=3)[0]
    weight = torch.randn_like(plain)
    (expected,) = torch.autograd.grad((plain * weight).sum(), waveform, retain_graph=True)
    (gradient,) = torch.autograd.grad((frames * weight).sum(), waveform)
    torch.testing.assert_close(gradient, expected)
    assert not wrapped.state_dict()
    assert not list(wrapped.parameters())


def test_a_model_without_a_limit_holds_the_last_value(make_upstream, monkeypatch):
    monkeypatch.setattr(without_position, "LENGTHS", (20, 40))
    upstream = build_upstream("local", checkpoint=make_upstream(positions="conv_sinusoidal"))
    waveform = torch.randn(1, 320 * 60)
    wrapped = without(upstream, speech=utterances(5, seed=5))
    difference = (upstream(waveform)[0] - wrapped(waveform)[0])[0]
    assert difference.shape[0] == 59
    torch.testing.assert_close(difference[40:], difference[36:40].mean(0).expand(19, -1), rtol=0, atol=1e-5)


def test_too_little_speech_is_an_error(upstream):
    with pytest.raises(ValueError, match="noise has 3 utterances of at least half a second; give 4 or more"):
        without(upstream, speech=[*utterances(3, seed=6), torch.zeros(7000)])(torch.randn(1, 16000))
