import pytest
import torch
import torchaudio

from espnet_plugins import perturb
from espnet_plugins.perturb import speed, tempo, zero_pad

SAMPLE_RATE = 16000


def tone(frequency, samples=SAMPLE_RATE):
    return torch.sin(2 * torch.pi * frequency * torch.arange(samples) / SAMPLE_RATE).unsqueeze(0)


def peak(waveform):
    """Frequency of the strongest bin, away from the edges, in Hz."""
    middle = waveform[len(waveform) // 8 : -len(waveform) // 8]
    spectrum = torch.fft.rfft(middle * torch.hann_window(len(middle)), n=1 << 16).abs()
    return float(spectrum.argmax()) * SAMPLE_RATE / (1 << 16)


def test_zero_pad_moves_by_whole_hops_and_keeps_every_sample(batch):
    waveform, lengths = batch
    padded = zero_pad(waveform, lengths, [2, 0, 1], [0, 3, 1])
    assert padded.lengths.tolist() == [9000 + 640, 16000 + 960, 12345 + 640]
    assert padded.offset.tolist() == [2, 0, 1]
    assert padded.slope.tolist() == [1, 1, 1]
    for row, (front, length) in enumerate(zip([640, 0, 320], lengths, strict=True)):
        expected = torch.zeros(padded.waveform.shape[1])
        expected[front : front + length] = waveform[row, :length]
        assert torch.equal(padded.waveform[row], expected)


def test_hop_is_an_option():
    assert zero_pad(torch.ones(1, 4), None, [1], [2], hop_length=3).lengths.tolist() == [13]


@pytest.mark.parametrize("counts", [([1], [1]), ([1, -1], [0, 0]), ([1, 1], [0])])
def test_zero_pad_counts_must_fit(counts):
    with pytest.raises(ValueError, match=r"counts of hops|shorter|longer"):
        zero_pad(torch.ones(2, 4), None, *counts)


@pytest.mark.parametrize(
    ("factor", "ratio"),
    [(0.8, (4, 5)), (0.85, (17, 20)), (0.95, (19, 20)), (1.05, (21, 20)), (1.15, (23, 20)), (1.2, (6, 5))],
)
def test_speed_is_torchaudios_resampling(factor, ratio, batch):
    waveform, lengths = batch
    fast = speed(waveform, lengths, [factor] * 3)
    for row, length in enumerate(lengths.tolist()):
        expected = torchaudio.functional.resample(waveform[row, :length], *ratio)
        assert fast.lengths[row] == len(expected) == -(-length * ratio[1] // ratio[0])
        torch.testing.assert_close(fast.waveform[row, : len(expected)], expected, rtol=0, atol=1e-5)
        assert not fast.waveform[row, len(expected) :].any()
    torch.testing.assert_close(fast.slope, torch.full((3,), 1 / factor))


@pytest.mark.parametrize("stretch", [speed, tempo])
def test_utterances_of_several_factors_are_what_they_are_alone(stretch, batch):
    waveform, lengths = batch
    factors = [0.9, 1.1, 0.9]
    together = stretch(waveform, lengths, factors)
    for row, (length, factor) in enumerate(zip(lengths, factors, strict=True)):
        alone = stretch(waveform[row : row + 1, :length], None, [factor])
        assert alone.lengths[0] == together.lengths[row]
        found = together.waveform[row, : alone.lengths[0]]
        torch.testing.assert_close(found, alone.waveform[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("stretch", [speed, tempo])
def test_factor_1_changes_nothing(stretch, batch):
    waveform, lengths = batch
    same = stretch(waveform, lengths, [1.0, 1.0, 1.0])
    assert torch.equal(same.lengths, lengths)
    assert all(torch.equal(same.waveform[row, :n], waveform[row, :n]) for row, n in enumerate(lengths))


@pytest.mark.parametrize("factor", [0.8, 0.95, 1.2])
def test_speed_moves_pitch_and_tempo_keeps_it(factor):
    assert peak(speed(tone(1000), None, [factor]).waveform[0]) == pytest.approx(1000 * factor, abs=2)
    kept = tempo(tone(1000), None, [factor])
    assert peak(kept.waveform[0]) == pytest.approx(1000, abs=2)
    assert kept.lengths.tolist() == speed(tone(1000), None, [factor]).lengths.tolist()
    power = kept.waveform[0, 2000:-2000].square().mean()
    assert power == pytest.approx(0.5, rel=0.05)


def test_speed_does_not_alias():
    # 7.9 kHz played 1.2 times as fast would be 9.5 kHz, above what 16 kHz can hold: taking every 1.2th sample would
    # leave a full tone of 6.5 kHz.
    assert speed(tone(7900), None, [1.2]).waveform[0, 500:-500].abs().max() < 0.1


@pytest.mark.parametrize("stretch", [speed, tempo])
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_slope_says_where_a_sound_went(stretch, factor):
    waveform = torch.zeros(1, SAMPLE_RATE)
    waveform[0, 11200:11360] = tone(2000)[0, :160]
    moved = stretch(waveform, None, [factor])
    energy = moved.waveform[0].square()
    center = (energy * torch.arange(len(energy))).sum() / energy.sum()
    assert abs(center / 320 - (moved.offset[0] + moved.slope[0] * 11280 / 320)) < 1


def test_kernels_are_made_once(batch):
    perturb._resampler.cache_clear()
    for _ in range(3):
        speed(*batch, [0.9, 1.1, 0.9])
    assert perturb._resampler.cache_info().misses == 2


def test_padding_has_no_effect(batch):
    waveform, lengths = batch
    expected = speed(waveform, lengths, [0.9, 1.1, 0.9])
    waveform[0, 9000:] = torch.nan
    assert torch.equal(speed(waveform, lengths, [0.9, 1.1, 0.9]).waveform, expected.waveform)


def test_half_precision_and_autocast_are_computed_in_float32(batch):
    waveform, lengths = batch
    expected = speed(waveform.bfloat16().float(), lengths, [0.9] * 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = speed(waveform.bfloat16(), lengths, [0.9] * 3)
    assert torch.equal(found.waveform, expected.waveform)


@pytest.mark.parametrize(
    ("factors", "message"),
    [([0.1], "0.25 to 4"), ([5.0], "0.25 to 4"), ([1.00123], "hundredths"), ([1.0, 1.0], "per utterance")],
)
def test_wrong_factors(factors, message):
    with pytest.raises(ValueError, match=message):
        speed(torch.zeros(1, 1000), None, factors)


def test_wrong_waveform():
    with pytest.raises(ValueError, match="batch, samples"):
        speed(torch.zeros(1000), None, [1.0])
    with pytest.raises(ValueError, match="do not fit"):
        zero_pad(torch.zeros(1, 1000), torch.tensor([1001]), [0], [0])
