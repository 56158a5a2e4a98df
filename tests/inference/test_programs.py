"""The programs on files and folders: formats, resume, failures, settings."""

import os
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from espnet_plugins.atomic import write_text
from espnet_plugins.bin import enhance, recognize
from espnet_plugins.inference import Enhancer, Recognizer
from espnet_plugins.inference.files import find_audio, find_jobs, run_jobs
from espnet_plugins.inference.provenance import Ledger
from espnet_plugins.inference.stock_programs import asr_inference


@pytest.fixture
def folder(tmp_path, speech):
    """Audio of several formats, rates and channel counts, in folders."""
    root = tmp_path / "in put"
    (root / "deep er").mkdir(parents=True)
    soundfile.write(root / "mono.wav", speech, 16000)
    soundfile.write(root / "stereo.flac", np.stack([speech, speech[::-1]], axis=1)[:7000], 44100)
    soundfile.write(root / "deep er" / "narrow.ogg", speech[:8000], 8000)
    soundfile.write(root / "deep er" / "loud.aiff", speech[:8000], 16000)
    (root / "notes.md").write_text("no audio")
    return root


def test_everything_is_enhanced_at_its_own_rate_and_shape(joint_folder, folder, tmp_path, capsys):
    out = tmp_path / "out"
    enhance.main([str(joint_folder), str(folder), "--out", str(out)])
    assert "4 of 4 files" in capsys.readouterr().out
    enhancer = Enhancer.from_checkpoint(joint_folder)
    for name in ("mono.wav", "stereo.flac", "deep er/narrow.ogg", "deep er/loud.aiff"):
        waveform, rate = soundfile.read(folder / name, dtype="float32")
        found, found_rate = soundfile.read((out / name).with_suffix(".wav"), dtype="float32")
        assert found_rate == rate
        np.testing.assert_allclose(found, enhancer(waveform, rate), atol=1e-5)
    assert sorted(path.suffix for path in out.rglob("*") if path.is_file() and path.name[0] != ".") == [".wav"] * 4


def test_a_second_call_does_what_is_left(joint_folder, folder, tmp_path, capsys):
    out, command = tmp_path / "out", [str(joint_folder), str(folder), "--out", str(tmp_path / "out")]
    enhance.main(command)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}
    (out / "mono.wav").unlink()
    soundfile.write(folder / "stereo.flac", np.zeros((400, 2)), 44100)
    # Touched, the content as before.
    os.utime(folder / "deep er" / "loud.aiff", (1, 1))
    enhance.main(command)
    assert "2 of 4 files are done already" in capsys.readouterr().err
    changed = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"mono.wav", "stereo.wav"}


def test_results_of_other_settings_are_not_mixed(joint_folder, two_speaker_folder, folder, tmp_path, capsys):
    out = tmp_path / "out"
    enhance.main([str(joint_folder), str(folder / "mono.wav"), "--out", str(out)])
    with pytest.raises(SystemExit) as stop:
        enhance.main([str(joint_folder), str(folder / "mono.wav"), "--out", str(out), "--window", "2"])
    assert stop.value.code == 1
    assert "made with another window (30.0, not 2.0): give another --out, or --overwrite" in capsys.readouterr().err
    enhance.main([str(two_speaker_folder), str(folder / "mono.wav"), "--out", str(out), "--overwrite"])
    assert {"mono_spk1.wav", "mono_spk2.wav"} <= {path.name for path in out.iterdir()}
    waveform, rate = soundfile.read(folder / "mono.wav", dtype="float32")
    _, second = Enhancer.from_checkpoint(two_speaker_folder)(waveform, rate)
    np.testing.assert_allclose(soundfile.read(out / "mono_spk2.wav", dtype="float32")[0], second, atol=1e-5)


def test_a_damaged_file_stops_nothing_else(joint_folder, folder, tmp_path, capsys):
    (folder / "broken.wav").write_bytes(b"RIFF what is this")
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        enhance.main([str(joint_folder), str(folder), "--out", str(out)])
    assert stop.value.code == 1
    printed = capsys.readouterr()
    assert f"{folder / 'broken.wav'}: cannot be read as audio" in printed.err
    assert "4 of 5 files" in printed.out
    assert not (out / "broken.wav").exists()


def test_every_file_that_cannot_be_used_is_named(joint_folder, folder, tmp_path, speech, capsys):
    (folder / "headerless.raw").write_bytes(bytes(3200))
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "silent.wav", np.zeros(0), 16000)
    soundfile.write(folder / "nan.wav", np.where(np.arange(800) == 7, np.nan, 0.1), 16000, subtype="FLOAT")
    whole = (folder / "mono.wav").read_bytes()
    (folder / "half.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "song.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (folder / "pointer.flac").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (folder / "nowhere.wav").symlink_to(tmp_path / "gone.wav")
    (folder / "._mono.wav").write_bytes(b"a file manager's own")
    soundfile.write(folder / "eight.wav", np.stack([speech[:800]] * 8, axis=1), 16000)
    reasons = {
        "headerless.raw": "has no header",
        "empty.wav": "it is empty (0 bytes)",
        "silent.wav": "holds no samples",
        "nan.wav": "not finite",
        "half.wav": "is not whole: 15978 of 32000 bytes are there",
        "song.m4a": "cannot be read as audio",
        "pointer.flac": "git lfs pull",
        "nowhere.wav": "No such file",
    }
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        enhance.main([str(joint_folder), str(folder), "--out", str(out)])
    assert stop.value.code == 1
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if "error:" in line]
    assert len(errors) == len(reasons)
    for name, reason in reasons.items():
        (line,) = [line for line in errors if str(folder / name) in line]
        assert reason in line
        assert line.count(name) == 1
    assert "5 of 13 files" in printed.out
    assert soundfile.info(out / "eight.wav").channels == 8
    assert len([*out.rglob("*.wav")]) == 5


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("odd"), IndexError(), MemoryError()])
@pytest.mark.parametrize("program", [enhance, recognize])
def test_whatever_a_file_does_to_a_library_the_others_are_done(
    program, error, joint_folder, folder, tmp_path, monkeypatch, capsys
):
    kind = Enhancer if program is enhance else Recognizer
    whole = kind.__call__

    def fails_on_one(self, waveform, rate):
        if rate == 44100:
            raise error
        return whole(self, waveform, rate)

    monkeypatch.setattr(kind, "__call__", fails_on_one)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        program.main([str(joint_folder), str(folder), "--out", str(out)])
    assert stop.value.code == 1
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if "error:" in line]
    assert str(folder / "stereo.flac") in line
    assert type(error).__name__ in line
    assert "3 of 4 files" in printed.out
    assert len([*out.rglob("*.wav" if program is enhance else "*.txt")]) == 3


def test_done_is_said_of_this_input_alone(joint_folder, tmp_path, speech, capsys):
    for day, level in (("monday", 1.0), ("tuesday", 0.5)):
        (tmp_path / day).mkdir()
        soundfile.write(tmp_path / day / "rec.wav", level * speech, 16000, subtype="FLOAT")
    monday, tuesday = (str(tmp_path / day / "rec.wav") for day in ("monday", "tuesday"))
    for program, name in ((enhance, "rec.wav"), (recognize, "rec.txt")):
        out = tmp_path / program.__name__
        program.main([str(joint_folder), monday, "--out", str(out)])
        before = (out / name).read_bytes()
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            program.main([str(joint_folder), tuesday, "--out", str(out)])
        assert stop.value.code == 1
        printed = capsys.readouterr()
        assert f"{out / name} was made of {monday}, not of {tuesday}: give another --out, or --overwrite" in printed.err
        assert "0 of 1 files" in printed.out
        assert (out / name).read_bytes() == before
    # The same recording at another place is the same input.
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "rec.wav").write_bytes((tmp_path / "monday" / "rec.wav").read_bytes())
    enhance.main([str(joint_folder), str(tmp_path / "copy" / "rec.wav"), "--out", str(tmp_path / enhance.__name__)])
    assert "1 of 1 files are done already" in capsys.readouterr().err
    enhance.main([str(joint_folder), tuesday, "--out", str(tmp_path / enhance.__name__), "--overwrite"])
    found, _ = soundfile.read(tmp_path / enhance.__name__ / "rec.wav", dtype="float32")
    np.testing.assert_allclose(found, Enhancer.from_checkpoint(joint_folder)(0.5 * speech, 16000), atol=1e-7)


def test_flac_is_made_softer_rather_than_clipped(joint_folder, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Enhancer, "__call__", lambda _, waveform, rate: (5 if len(waveform) == 16000 else 1) * waveform)
    out = tmp_path / "out"
    command = [str(joint_folder), str(folder), "--out", str(out), "--format", "flac"]
    for _ in range(2):  # also where all is done already
        enhance.main(command)
        assert "warning: 1 of 4 results lay above full scale" in capsys.readouterr().err
    assert [path.name for path in out.rglob("*.gain")] == ["mono.gain"]
    gain = float((out / "mono.gain").read_text())
    found, _ = soundfile.read(out / "mono.flac")
    original, _ = soundfile.read(folder / "mono.wav")
    assert abs(np.abs(found).max() - 1) < 2e-7
    np.testing.assert_allclose(found / gain, 5 * original, atol=1e-6)
    monkeypatch.setattr(Enhancer, "__call__", lambda self, waveform, rate: waveform)
    enhance.main([*command, "--overwrite"])
    assert "warning" not in capsys.readouterr().err
    assert not [*out.rglob("*.gain")]


def test_no_file_is_left_half_written(joint_folder, folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write = soundfile.write

    def full_disk(path, *args, **kwargs):
        write(path, *args, **kwargs)
        raise OSError("no space left")

    monkeypatch.setattr(soundfile, "write", full_disk)
    with pytest.raises(SystemExit):
        enhance.main([str(joint_folder), str(folder / "mono.wav"), "--out", str(out)])
    assert [path.name for path in out.iterdir()] == [".results.jsonl"]


def test_inputs_that_cannot_be_used(folder, tmp_path, speech):
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError, match="gone: no such file or folder"):
        find_jobs([tmp_path / "gone"], out, [".wav"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no audio files"):
        find_jobs([tmp_path / "empty"], out, [".wav"])
    soundfile.write(folder / "mono.flac", speech, 16000)
    with pytest.raises(ValueError, match=r"mono\.flac and .*mono\.wav would both become"):
        find_jobs([folder], out, [".wav"])
    with pytest.raises(ValueError, match="would replace it"):
        find_jobs([folder / "mono.wav"], folder, [".wav"])
    assert len(find_jobs([folder / "mono.wav", folder / "mono.wav"], out, [".wav"])) == 1


def test_results_are_not_written_into_their_input(folder, tmp_path):
    with pytest.raises(ValueError, match=r"--out .*in put is the input; give another folder"):
        find_jobs([folder], folder, [".wav"])
    with pytest.raises(ValueError, match=r"holds the input .*deep er; give another folder"):
        find_jobs([folder / "deep er"], folder, [".wav"])
    # Of links, it is the files that count.
    (folder / "links").mkdir()
    soundfile.write(tmp_path / "elsewhere.wav", np.zeros(100), 16000)
    (folder / "links" / "a.wav").symlink_to(tmp_path / "elsewhere.wav")
    (job,) = find_jobs([folder / "links"], folder, [".wav"])
    assert job.targets == (folder / "a.wav",)


def test_files_that_are_no_audio_are_counted(folder, tmp_path, capsys):
    (folder / ".hidden").write_text("")
    out = folder / "out"
    write_text(out / "mono.txt", "a result")
    assert len(find_jobs([folder], out, [".wav"])) == 4
    assert capsys.readouterr().err == f"{folder}: left aside as no audio: 1 file (notes.md)\n"
    for name in ("a.txt", "b.txt", "deep er/c.txt"):
        (folder / name).write_text("no audio")
    assert len(find_audio([folder])) == 4
    assert "left aside as no audio: 5 files (a.txt, b.txt, deep er/c.txt, ...)" in capsys.readouterr().err
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no audio")
    with pytest.raises(FileNotFoundError, match=r"texts: holds no audio files, only 1 file \(a\.txt\)"):
        find_jobs([tmp_path / "texts"], out, [".wav"])


def test_the_rate_of_the_progress_bar_keeps_its_unit(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    soundfile.write(tmp_path / "b.wav", np.zeros(160000), 16000)
    jobs = find_jobs([tmp_path / "a.wav", tmp_path / "b.wav"], tmp_path / "out", [".wav"])
    # 0.1 s of audio in 0.3 s, then 10 s at once.
    run_jobs(jobs, lambda job: time.sleep(0.3 * (job.source.name == "a.wav")), Ledger(tmp_path / "out", {}))
    bars = capsys.readouterr().err
    assert "10.1/10.1 s of audio" in bars
    rates = [float(rate) for rate in re.findall(r"([\d.]+) s of audio/s", bars)]
    assert any(0 < rate < 1 for rate in rates)
    assert rates[-1] > 1
    assert "s/" not in bars.replace("audio/s", "")


def test_results_inside_the_input_folder_are_not_inputs(folder):
    out = folder / "deep er" / "out"
    write_text(out / "old.wav", "a result")
    assert len(find_jobs([folder], out, [".wav"])) == 4


def reference(folder, waveform):
    decode = asr_inference.Speech2Text(
        str(folder / "config.yaml"), str(folder / "model.pth"), beam_size=5, ctc_weight=1.0, enh_s2t_task=True
    )
    return [speaker[0][0] for speaker in decode(waveform)]


def test_recognition_is_espnets(joint_folder, two_speaker_folder, speech):
    recognizer = Recognizer.from_checkpoint(joint_folder)
    assert [recognizer(speech, 16000)] == reference(joint_folder, speech)
    assert recognizer(np.stack([speech, speech], axis=1), 16000) == recognizer(speech, 16000)
    two = Recognizer.from_checkpoint(two_speaker_folder)
    assert two.n_speakers == 2
    assert two(speech, 16000) == reference(two_speaker_folder, speech)


def test_long_recordings_are_recognized_piece_by_piece(joint_folder, monkeypatch):
    recognizer = Recognizer.from_checkpoint(joint_folder, longest=1.0)
    heard = []
    hypothesis = SimpleNamespace(score=-1.0)
    monkeypatch.setattr(recognizer, "decode", lambda piece: heard.append(piece) or [[(f"w{len(heard)}", hypothesis)]])
    waveform = np.random.default_rng(0).standard_normal(40000).astype(np.float32)
    assert recognizer(waveform, 16000) == " ".join(f"w{k + 1}" for k in range(len(heard)))
    np.testing.assert_allclose(np.concatenate(heard), waveform)
    assert len(heard) >= 3
    assert max(map(len, heard)) <= 16000


def test_recognition_of_files(joint_folder, folder, tmp_path, capsys):
    out, command = tmp_path / "out", [str(joint_folder), str(folder), "--out", str(tmp_path / "out")]
    recognize.main(command)
    recognizer = Recognizer.from_checkpoint(joint_folder)
    expected = []
    for name in ("deep er/loud.aiff", "deep er/narrow.ogg", "mono.wav", "stereo.flac"):
        words = recognizer(*soundfile.read(folder / name, dtype="float32", always_2d=True))
        assert (out / name).with_suffix(".txt").read_text() == f"{words}\n"
        expected.append(f"{name.rsplit('.')[0]} {words}".strip())
    assert (out / "text").read_text().splitlines() == expected
    recognize.main(command)
    assert "4 of 4 files are done already" in capsys.readouterr().err
    assert (out / "text").read_text().splitlines() == expected


def test_files_that_failed_are_named_also_where_the_table_cannot_be_written(joint_folder, folder, tmp_path, capsys):
    out = tmp_path / "out"
    command = [str(joint_folder), str(folder), "--out", str(out)]
    recognize.main(command)
    (out / "mono.txt").write_bytes(b"\xff")
    before = (out / "text").read_bytes()
    (folder / "broken.wav").write_bytes(b"RIFF what is this")
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        recognize.main(command)
    assert stop.value.code == 1
    printed = capsys.readouterr()
    assert f"{folder / 'broken.wav'}: cannot be read as audio" in printed.err
    assert f"{out / 'text'} is not up to date: {out / 'mono.txt'} is not UTF-8" in printed.err
    assert "files are in" not in printed.out
    assert (out / "text").read_bytes() == before


def test_models_that_do_not_recognize(joint_folder, tmp_path):
    text = (joint_folder / "config.yaml").read_text()
    (tmp_path / "model.pth").symlink_to(joint_folder / "model.pth")
    (tmp_path / "config.yaml").write_text(text.replace("token_type: word", "token_type: bpe"))
    with pytest.raises(FileNotFoundError, match="give it as `bpemodel`"):
        Recognizer.from_checkpoint(tmp_path)
    (tmp_path / "config.yaml").write_text("separator: tcn\n")
    with pytest.raises(ValueError, match="is a front-end: it recognizes nothing"):
        Recognizer.from_checkpoint(tmp_path)
