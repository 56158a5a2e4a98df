"""Signal quality: known values, agreement with an independent computation, honest failures."""

from __future__ import annotations

import numpy as np
import pytest
from places import SHARED

from espnet_plugins.analysis.scoring import quality
from espnet_plugins.analysis.scoring.listeners import MissingNetwork
from espnet_plugins.analysis.scoring.quality import DEFINITIONS, METRICS, MOST_DECIBEL, measure_quality, spread

PAIRS = SHARED / "voicebank_demand_p287"
SAMPLE_RATE = 16000


@pytest.fixture
def speechlike():
    """Two seconds of noise with the rhythm of syllables, and noise to add."""
    generator = np.random.default_rng(0)
    rhythm = np.clip(np.sin(2 * np.pi * 3 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE), 0, None)
    return rhythm * generator.standard_normal(2 * SAMPLE_RATE) * 0.1, generator.standard_normal(2 * SAMPLE_RATE) * 0.01


def test_si_sdr_is_the_definition(speechlike):
    speech, noise = speechlike
    estimate = 0.3 * (speech + noise)
    values, reasons = measure_quality(speech, estimate, SAMPLE_RATE, metrics=["si_sdr"])
    reference, centered = speech - speech.mean(), estimate - estimate.mean()
    target = (centered @ reference) / (reference @ reference) * reference
    expected = 10 * np.log10((target @ target) / ((centered - target) @ (centered - target)))
    assert values["si_sdr"] == pytest.approx(expected, abs=1e-6)
    assert reasons == {}


def test_every_metric_prefers_less_noise(speechlike):
    speech, noise = speechlike
    near, _ = measure_quality(speech, speech + noise, SAMPLE_RATE)
    far, _ = measure_quality(speech, speech + 8 * noise, SAMPLE_RATE)
    assert set(near) == set(far) == set(METRICS)
    for metric in METRICS:
        assert near[metric] > far[metric], metric


def test_sdr_forgives_a_short_filter_that_si_sdr_does_not(speechlike):
    speech, noise = speechlike
    delayed = np.concatenate([np.zeros(8), speech[:-8]]) + 0.1 * noise
    values, _ = measure_quality(speech, delayed, SAMPLE_RATE, metrics=["sdr", "si_sdr"])
    assert values["sdr"] > 15 > values["si_sdr"]


def test_identical_signals_reach_the_ends_of_the_scales(speechlike):
    values, reasons = measure_quality(speechlike[0], speechlike[0].copy(), SAMPLE_RATE)
    assert reasons == {}
    assert values["si_sdr"] == values["sdr"] == MOST_DECIBEL
    assert values["stoi"] == pytest.approx(100)
    assert values["pesq"] == pytest.approx(4.64, abs=0.01)


@pytest.mark.parametrize("unit", [1.0, 32768.0])
def test_a_click_is_not_rewarded_by_pesq(speechlike, unit):
    """pesq itself scales by the largest value of both and rounds: below a click far above full scale noise is lost."""
    speech, noise = (unit * signal for signal in speechlike)
    noisy = speech + noise
    (alone, _), *clicked = [
        measure_quality(speech, np.where(np.arange(len(speech)) == 100, click, noisy), SAMPLE_RATE, metrics=["pesq"])
        for click in (noisy[100], 50 * unit, 100 * unit, 300 * unit)
    ]
    for values, _ in clicked:
        assert values["pesq"] == pytest.approx(alone["pesq"], abs=0.02)


def test_perfect_but_for_rounding_counts_in_the_mean_too():
    """A coherence of one or, through rounding, above: infinite or not a number where it is not capped."""
    generator = np.random.default_rng(0)
    for length in (607, 2335, 3155, 3467, 4148, 5193):
        speech = generator.standard_normal(length) * np.sin(np.arange(length) / generator.uniform(3, 300))
        for estimate in (0.7 * speech, np.roll(speech, 3) * 0.7, speech + 1e-12):
            values, reasons = measure_quality(speech, estimate, SAMPLE_RATE, metrics=["sdr", "si_sdr"])
            assert reasons == {}
            assert max(values.values()) <= MOST_DECIBEL
        assert measure_quality(speech, 0.7 * speech, SAMPLE_RATE, metrics=["sdr"])[0]["sdr"] == MOST_DECIBEL


def bss_eval_sdr(reference, estimate, taps=512):
    """SDR by its definition: a least-squares filter of the reference, and what it leaves."""
    padded = np.concatenate([estimate, np.zeros(taps - 1)])
    shifted = np.stack([np.concatenate([np.zeros(i), reference, np.zeros(taps - 1 - i)]) for i in range(taps)], axis=1)
    target = shifted @ np.linalg.lstsq(shifted, padded, rcond=None)[0]
    return 10 * np.log10((target @ target) / ((padded - target) @ (padded - target)))


def test_sdr_is_bss_eval_of_signals_without_their_mean(speechlike):
    speech, noise = (signal[:3000] for signal in speechlike)
    estimate = speech + noise
    centered = [signal - signal.mean() for signal in (speech, estimate)]
    for offset in (0.0, 0.01, -0.3):
        values, _ = measure_quality(speech, estimate + offset, SAMPLE_RATE, metrics=["sdr"])
        assert values["sdr"] == pytest.approx(bss_eval_sdr(*centered), abs=1e-3)
    # With the mean left in, as BSS-eval has it, the offset would count.
    assert bss_eval_sdr(speech, estimate + 0.3) < values["sdr"] - 5
    for text in (measure_quality.__doc__, DEFINITIONS):
        assert all(word in text for word in ("mean", "BSS-eval", "offset"))


def test_the_same_signals_give_the_same_bits_and_draw_nothing(speechlike):
    speech, noise = speechlike
    found = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        found.append(measure_quality(speech, speech + noise, SAMPLE_RATE)[0])
        drawn = np.random.standard_normal()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        assert drawn == np.random.standard_normal()  # noqa: NPY002
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("reference", "estimate", "reason"),
    [
        (np.ones(100) * 0, np.ones(100), "reference is silent"),
        (np.arange(100.0), np.zeros(100), "estimate is silent"),
        (np.arange(100.0), np.arange(99.0), "100 samples, the estimate 99"),
        (np.arange(100.0), np.full(100, np.nan), "not finite"),
        (np.ones((100, 2)), np.ones((100, 2)), "one channel"),
        (np.zeros(0), np.zeros(0), "silent"),
    ],
)
def test_a_pair_without_a_score_says_why(reference, estimate, reason):
    values, reasons = measure_quality(reference, estimate, SAMPLE_RATE)
    assert values == {}
    assert set(reasons) == set(METRICS)
    assert all(reason in text for text in reasons.values())


def test_a_signal_too_short_for_some_metrics_keeps_the_others(speechlike):
    speech, noise = (signal[8000:9000] for signal in speechlike)
    values, reasons = measure_quality(speech, speech + noise, SAMPLE_RATE)
    assert "si_sdr" in values
    assert {"pesq", "stoi", "estoi"} <= set(reasons)
    # A filter of 512 taps would make 100 dB of any noise.
    values, reasons = measure_quality(speech[:500], noise[:500], SAMPLE_RATE, metrics=["si_sdr", "sdr"])
    assert values["si_sdr"] < 0
    assert reasons["sdr"].startswith("SDR takes more than 512 samples")


def test_other_rates_and_names(speechlike):
    speech, noise = speechlike
    _, reasons = measure_quality(speech, speech + noise, 22050, metrics=["pesq"])
    assert "22050" in reasons["pesq"]
    with pytest.raises(ValueError, match="unknown metric 'mos'"):
        measure_quality(speech, speech, SAMPLE_RATE, metrics=["mos"])


@pytest.mark.skipif(not PAIRS.is_dir(), reason=f"no recordings in {PAIRS}")
def test_real_recordings_have_plausible_scores():
    import soundfile

    for clean in sorted((PAIRS / "clean").glob("*.wav")):
        reference, rate = soundfile.read(clean)
        noisy, _ = soundfile.read(PAIRS / "noisy" / clean.name)
        values, reasons = measure_quality(reference, noisy, rate)
        assert reasons == {}
        assert 1.0 < values["pesq"] < 4.5
        assert 50 < values["estoi"] < values["stoi"] < 100
        assert -5 < values["si_sdr"] <= values["sdr"] + 1e-6 < 30


def test_spread_covers_the_list_evenly():
    ids = [f"u{i:02d}" for i in range(10)]
    assert spread(ids[::-1], 5) == ids[::2]
    assert spread(ids, 99) == ids
    assert spread(ids, 0) == []
    assert len(set(spread(ids, 7))) == 7


@pytest.mark.parametrize("error", [IndexError("of a library"), AssertionError(), TypeError("odd"), KeyError("x")])
@pytest.mark.parametrize("name", ["_pesq", "measure_dnsmos"])
def test_whatever_a_library_raises_costs_one_value(speechlike, monkeypatch, name, error):
    def raises(*_, **__):
        raise error

    monkeypatch.setattr(quality, name, raises)
    speech, noise = speechlike
    metric = "pesq" if name == "_pesq" else "dnsmos"
    values, reasons = measure_quality(speech, speech + noise, SAMPLE_RATE, metrics=["si_sdr", metric])
    assert [*values] == ["si_sdr"]
    assert [*reasons] == [metric]
    assert reasons[metric]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_none(speechlike, monkeypatch, value):
    """It would be the mean of the whole set."""
    monkeypatch.setattr(quality, "_pesq", lambda *_: value)
    monkeypatch.setattr(quality, "measure_dnsmos", lambda *_, **__: {"dnsmos_sig": 1.0, "dnsmos_bak": value})
    speech, noise = speechlike
    values, reasons = measure_quality(speech, speech + noise, SAMPLE_RATE, metrics=["pesq", "dnsmos"])
    assert values == {}
    assert reasons == dict.fromkeys(["pesq", "dnsmos"], "not a number")


def test_a_damaged_network_is_an_error_and_no_reason(tmp_path, speechlike):
    """No utterance can be judged by it: that is not the utterances' fault."""
    pytest.importorskip("onnxruntime")
    path = tmp_path / "DNSMOS" / "sig_bak_ovr.onnx"
    path.parent.mkdir()
    path.write_bytes(b"no network")
    with pytest.raises(MissingNetwork, match=r"sig_bak_ovr\.onnx cannot be read: fetch it again"):
        measure_quality(*speechlike, SAMPLE_RATE, metrics=["dnsmos"], dnsmos=tmp_path)
