"""Archives: content unchanged, readable by ESPnet, resumable, nothing half-written."""

from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile

from local.common import kaldi_dir
from local.common.audio import AudioError
from local.common.errors import RecipeError
from local.common.kaldi_dir import Utterance
from local.stages import dump
from local.stages.summary import write_signals


def make_set(folder, count=5, *, rate=16000, seconds=0.5, noise=True):
    """Random utterances on disk: (utterances, int16 signals by (id, list))."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    utterances, signals = [], {}
    for i in range(count):
        name = f"s{i % 2}_{i:03d}"
        paths = {}
        for kind in ("wav", "spk1", "noise1"):
            paths[kind] = str(folder / f"{name}.{kind}.wav")
            signals[name, kind] = rng.integers(-9000, 9000, int(seconds * rate) + i).astype(np.int16)
            soundfile.write(paths[kind], signals[name, kind], rate, subtype="PCM_16")
        utterances.append(
            Utterance(
                id=name,
                speaker=name[:2],
                wav=paths["wav"],
                references=(paths["spk1"],),
                texts=("ONE",),
                noise=paths["noise1"] if noise else None,
                category="x",
                samples=int(seconds * rate) + i,
                rate=rate,
            )
        )
    return utterances, signals


@pytest.mark.parametrize("nj", [1, 2])
def test_16_khz_files_pass_bit_by_bit(tmp_path, nj):
    utterances, signals = make_set(tmp_path / "in", 20)
    dumped = kaldi_dir.write(tmp_path / "out", dump.dump(utterances, tmp_path / "out" / "archives", nj=nj))
    assert len(list((tmp_path / "out" / "archives").iterdir())) == 7
    for kind in ("wav", "spk1", "noise1"):
        loader = kaldiio.load_scp(str(tmp_path / "out" / f"{kind}.scp"))
        for u in dumped:
            rate, signal = loader[u.id]
            assert rate == 16000
            np.testing.assert_array_equal(np.rint(signal * 32768).astype(np.int16), signals[u.id, kind])
            assert u.samples == len(signal)


def test_48_khz_files_come_out_at_16(tmp_path):
    time = np.arange(48000) / 48000
    tone = 0.3 * np.sin(2 * np.pi * 500 * time) + 0.3 * np.sin(2 * np.pi * 12000 * time)
    utterances, _ = make_set(tmp_path / "in", 1, rate=48000, seconds=1.0, noise=False)
    for path in (utterances[0].wav, *utterances[0].references):
        soundfile.write(path, tone, 48000)
    dumped = dump.dump(utterances, tmp_path / "out", nj=1)
    rate, signal = kaldiio.load_mat(dumped[0].wav)
    assert (rate, len(signal), dumped[0].samples, dumped[0].rate) == (16000, 16000, 16000, 16000)
    expected = 0.3 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)
    # What lies above the new Nyquist frequency is gone rather than folded back.
    assert np.abs(signal - expected)[200:-200].max() < 1e-3


def test_espnet_reads_them_as_kaldi_ark(tmp_path):
    from espnet2.train.dataset import ESPnetDataset

    utterances, signals = make_set(tmp_path / "in", 3)
    kaldi_dir.write(tmp_path / "out", dump.dump(utterances, tmp_path / "out" / "archives", nj=1))
    lists = [(str(tmp_path / "out" / f"{n}.scp"), n, "kaldi_ark") for n in ("wav", "spk1")]
    dataset = ESPnetDataset(lists, float_dtype="float32")
    name, data = dataset["s1_001"]
    assert name == "s1_001"
    for kind in ("wav", "spk1"):
        assert data[kind].dtype == np.float32
        np.testing.assert_array_equal(data[kind], signals[name, kind].astype(np.float32) / 32768)


def test_an_interrupted_dump_goes_on_where_it_stopped(tmp_path):
    utterances, _ = make_set(tmp_path / "in", 8)
    folder = tmp_path / "out"
    whole = dump.dump(utterances, folder, nj=1)
    first = (folder / "0000" / "wav.ark").stat().st_mtime_ns
    (folder / "0003" / "index.json").unlink()
    for path in (folder / "0003").iterdir():
        path.unlink()
    (folder / "0003").rmdir()
    (folder / ".0003.4711.tmp").mkdir()
    (folder / ".0003.4711.tmp" / "wav.ark").write_bytes(b"half")
    assert dump.dump(utterances, folder, nj=1) == whole
    assert (folder / "0000" / "wav.ark").stat().st_mtime_ns == first
    assert not (folder / ".0003.4711.tmp").exists()


@pytest.mark.parametrize("fault", ["truncated", "other length"])
def test_a_bad_file_is_named_and_its_archive_is_not_left(tmp_path, fault):
    utterances, signals = make_set(tmp_path / "in", 4)
    victim = Path(utterances[2].references[0])
    if fault == "truncated":
        victim.write_bytes(victim.read_bytes()[:-500])
    else:
        soundfile.write(victim, signals[utterances[2].id, "spk1"][:-3], 16000)
    with pytest.raises(AudioError, match=f"^set 'victims', utterance '{utterances[2].id}': .*{victim.name}"):
        dump.dump(utterances, tmp_path / "out", nj=2, name="victims")
    assert not (tmp_path / "out" / "0002").exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, small_disk):
    utterances, _ = make_set(tmp_path / "in", 16, seconds=1.0)
    with pytest.raises(RecipeError, match=r"cannot write .*: No space left on device") as error:
        dump.dump(utterances, small_disk / "out", nj=2)
    assert "\n" not in str(error.value)
    assert not list((small_disk / "out").glob(".*"))
    for folder in (small_disk / "out").iterdir():
        assert {p.name for p in folder.iterdir()} == {"index.json", "wav.ark", "spk1.ark", "noise1.ark"}


def write_float(path, signal):
    soundfile.write(path, signal, 16000, subtype="FLOAT")


def test_what_is_over_full_scale_gets_one_gain_with_its_companions(tmp_path):
    rng = np.random.default_rng(3)
    utterances, _ = make_set(tmp_path / "in", 2)
    loud = utterances[0]
    clean, noise = 0.5 * rng.standard_normal((2, 8000))
    for path, signal in ((loud.wav, clean + noise), (loud.references[0], clean), (loud.noise, noise)):
        write_float(path, signal)
    assert np.abs(clean + noise).max() > 1.5
    dumped = kaldi_dir.write(tmp_path / "out", dump.dump(utterances, tmp_path / "out" / "archives", nj=1))
    found = {u.id: u for u in dumped}
    gain = float(found[loud.id].details["gain"])
    assert gain == pytest.approx(32767 / 32768 / np.abs(clean + noise).max(), rel=1e-5)
    places = (found[loud.id].wav, *found[loud.id].references, found[loud.id].noise)
    noisy, speech, rest = (kaldiio.load_mat(place)[1] for place in places)
    np.testing.assert_allclose(speech, gain * clean, atol=1e-4)
    # They still add up: nothing was cut off.
    np.testing.assert_allclose(noisy, speech + rest, atol=2 / 32768)
    assert "gain" not in found[utterances[1].id].details
    # It is written down, and told.
    written = {u.id: u.details for u in kaldi_dir.read(tmp_path / "out")}
    assert written[loud.id]["gain"] == found[loud.id].details["gain"]
    told = write_signals(tmp_path / "out", dumped)
    assert told[0].startswith("1 of 2 utterances were over full scale")
    assert "1 of 2 utterances were over full scale" in (tmp_path / "out" / "SUMMARY.md").read_text()


def test_clipped_samples_and_zero_tails_are_counted(tmp_path):
    utterances, signals = make_set(tmp_path / "in", 3)
    clipped = np.clip(signals[utterances[0].id, "wav"] * 8.0, -32768, 32767).astype(np.int16)
    soundfile.write(utterances[0].wav, clipped, 16000)
    padded = signals[utterances[1].id, "spk1"].copy()
    padded[-4000:] = 0
    soundfile.write(utterances[1].references[0], padded, 16000)
    dumped = dump.dump(utterances, tmp_path / "out", nj=1)
    np.testing.assert_array_equal(np.rint(kaldiio.load_mat(dumped[0].wav)[1] * 32768), clipped)
    assert [dict(u.details) for u in dumped] == [{"clipped": "wav"}, {"tail": "0.25"}, {}]
    told = write_signals(tmp_path, dumped)
    assert told[0].startswith("1 of 3 utterances have clipped samples")
    assert "1 of 3 references end in zeros for 0.1 s or more, 16.7 % of all samples" in told[1]


@pytest.mark.parametrize("which", ["wav", "spk1"])
def test_silence_and_values_that_are_no_numbers_are_errors(tmp_path, which):
    utterances, _ = make_set(tmp_path / "in", 2)
    path = utterances[1].wav if which == "wav" else utterances[1].references[0]
    write_float(path, np.zeros(utterances[1].samples))
    with pytest.raises(AudioError, match=f"^set 'in', utterance '{utterances[1].id}': .*{Path(path).name} is silent"):
        dump.dump(utterances, tmp_path / "out", nj=1, name="in")
    signal = np.full(utterances[1].samples, 0.1)
    signal[17] = np.nan
    write_float(path, signal)
    with pytest.raises(AudioError, match=f"{Path(path).name}: sample 17 is no finite number"):
        dump.dump(utterances, tmp_path / "out", nj=1)
