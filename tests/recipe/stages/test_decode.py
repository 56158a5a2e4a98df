"""Which decodings share their audio, and that a shared one is taken over."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from espnet2.fileio.sound_scp import SoundScpWriter
from fake_experiment import SETS, Experiment

from espnet_plugins.inference.audio import cut_when_written
from local.common.errors import RecipeError
from local.common.kaldi_dir import read_table
from local.stages import decode
from local.stages.decode import copy_transcripts
from local.stages.decode_steps import CUT
from local.stages.score import SetScoring

SEEN, UNSEEN = SETS


@pytest.fixture
def experiment(tmp_path):
    made = Experiment(tmp_path, utterances=4, options=["--datadir", str(tmp_path / "data")])
    for name in SETS:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "spk1.scp").write_text("u1 /corpus/clean/u1.wav\n")
        (folder / "wav.scp").write_text(f"u1 /corpus/{name}/u1.wav\n")
    return made


def test_multi_condition_training_has_a_recognizer_of_its_own_and_nothing_to_enhance(tmp_path):
    options = ["--datadir", str(tmp_path / "data"), "--objectives", "multi_condition"]
    made = Experiment(tmp_path, utterances=4, options=options)
    system = made.systems["multi_condition_joint_seed0"]
    for name in SETS:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "wav.scp").write_text("u1 /corpus/u1.wav\n")
    assert (system.front_end, system.is_joint) == ("none", True)
    assert (system.name, UNSEEN) not in made.steps.duplicates
    assert ("noisy", UNSEEN) in made.steps.duplicates
    assert "enhanced" not in made.steps.recognize(system, SEEN).inputs
    assert not SetScoring(made.steps, system, SEEN).pairs
    assert SetScoring(made.steps, made.systems["noisy"], SEEN).measured


def duplicate(experiment, system, name):
    return experiment.steps.duplicates.get((system, name))


def test_the_first_pair_with_the_same_files(experiment):
    assert duplicate(experiment, "clean", SEEN) is None
    assert duplicate(experiment, "clean", UNSEEN) == ("clean", SEEN)
    assert duplicate(experiment, "noisy", SEEN) is None
    assert duplicate(experiment, "noisy", UNSEEN) is None
    assert duplicate(experiment, "se", UNSEEN) is None


def test_a_set_whose_input_is_clean_speech(experiment):
    (experiment.root / "data" / UNSEEN / "wav.scp").write_text("u1 /corpus/clean/u1.wav\n")
    assert duplicate(experiment, "noisy", UNSEEN) == ("clean", SEEN)


@pytest.mark.parametrize("change", ["other files", "no data directory"])
def test_other_audio_is_recognized_by_itself(experiment, change):
    path = experiment.root / "data" / UNSEEN / "spk1.scp"
    if change == "other files":
        path.write_text("u1 /corpus/clean/u2.wav\n")
    else:
        path.unlink()
    assert duplicate(experiment, "clean", UNSEEN) is None


def test_transcripts_are_taken_over_and_follow_their_source(experiment):
    clean, noisy = experiment.systems["clean"], experiment.systems["noisy"]
    (experiment.root / "data" / UNSEEN / "wav.scp").write_text("u1 /corpus/clean/u1.wav\n")
    experiment.touch(noisy.trained[-1].done)
    target = experiment.steps.recognize(noisy, UNSEEN)
    for system in (clean, noisy):
        experiment.steps.recognize(system, UNSEEN).done.unlink()
    assert not experiment.steps.is_decoded(noisy, UNSEEN)
    copy_transcripts(experiment.steps)
    assert experiment.steps.is_decoded(noisy, UNSEEN)
    assert (target.out / "text").read_text() == experiment.text("clean", SEEN).read_text()
    experiment.touch(experiment.steps.recognize(clean, SEEN).done, "second")
    assert not experiment.steps.is_decoded(noisy, UNSEEN)


def test_utterances_that_were_not_enhanced_are_named_and_nothing_is_left(tmp_path, monkeypatch):
    made = Experiment(tmp_path, utterances=4)
    system = made.systems["se"]
    step = made.steps.enhance(system, SEEN)
    listed, wavs = (step.out / "spk1.scp").read_text(), {path.name for path in (step.out / "wavs").iterdir()}

    def lose_one(command, **_):
        folder = Path(command[command.index("--output_dir") + 1])
        folder.mkdir()
        (folder / "spk1.scp").write_text("".join(listed.splitlines(keepends=True)[1:]))
        return {}

    monkeypatch.setattr("espnet_plugins.bin.enh_inference.main", lose_one)
    with pytest.raises(RecipeError, match=r"se on .*: 1 of 4 were not enhanced: spk0_00"):
        decode.enhance(made.recipe, system, SEEN, step)
    assert {path.name for path in (step.out / "wavs").iterdir()} == wavs


def test_estimates_above_full_scale_are_cut_and_named(tmp_path, monkeypatch, capsys):
    """The scale of a front-end trained by SI-SNR is free; ESPnet's program cuts at full scale without a word."""
    made = Experiment(tmp_path, utterances=4)
    system = made.systems["se"]
    step = made.steps.enhance(system, SEEN)
    names = [line.split()[0] for line in (step.out / "spk1.scp").read_text().splitlines()]

    def louder(command, **_):
        folder = Path(command[command.index("--output_dir") + 1])
        with cut_when_written() as cut, SoundScpWriter(folder / "wavs", folder / "spk1.scp", format="flac") as writer:
            for number, name in enumerate(names):
                writer[name] = 16000, np.linspace(-0.5, 0.9 + 0.2 * number, 16000)
        return cut

    monkeypatch.setattr("espnet_plugins.bin.enh_inference.main", louder)
    decode.enhance(made.recipe, system, SEEN, step)
    assert read_table(step.out / "wavs" / CUT) == {names[1]: "1.10", names[2]: "1.30", names[3]: "1.50"}
    peaks = [soundfile.read(path)[0].max() for path in read_table(step.out / "spk1.scp").values()]
    assert peaks == pytest.approx([0.9, 1, 1, 1], abs=1e-4)
    SetScoring(made.steps, system, SEEN).score(iter(()))
    told = f"warning: se on {SEEN}: 3 estimates are cut at full scale: {', '.join(sorted(names[1:]))}"
    assert told in capsys.readouterr().out


def test_utterances_that_were_not_recognized_are_named_and_nothing_is_left(tmp_path, monkeypatch):
    made = Experiment(tmp_path, utterances=4)
    system = made.systems["noisy"]
    step = made.steps.recognize(system, SEEN)
    text, lists = step.out / "text", made.recipe.dumpdir / SEEN / "wav.scp"
    recognized = text.read_text().splitlines()
    lists.write_text("".join(f"{line.split()[0]} /a.wav\n" for line in recognized))
    text.unlink()

    def write(lines):
        def main(command, **_):
            folder = Path(command[command.index("--output_dir") + 1]) / "1best_recog"
            folder.mkdir(parents=True)
            (folder / "text").write_text("".join(f"{line}\n" for line in lines))

        monkeypatch.setattr("espnet_plugins.bin.asr_inference.main", main)
        decode.recognize(made.steps, system, SEEN, "asr")

    with pytest.raises(RecipeError, match=r"noisy on .*: 1 of 4 were not recognized: spk0_00"):
        write(recognized[1:])
    assert not text.exists()
    # One in which nothing was recognized has its line, with the id alone.
    write([recognized[0].split()[0], *recognized[1:]])
    assert len(text.read_text().splitlines()) == 4


def test_a_judge_that_leaves_an_utterance_out_is_named(tmp_path, monkeypatch):
    made = Experiment(tmp_path, utterances=4)
    system = made.systems["noisy"]
    step = made.steps.recognize(system, SEEN)
    recognized = dict(line.split(maxsplit=1) for line in (step.out / "text").read_text().splitlines())
    lists = made.recipe.dumpdir / SEEN / "wav.scp"
    lists.write_text("".join(f"{name} /a.wav\n" for name in recognized))
    recognized.pop(lost := min(recognized))
    monkeypatch.setattr(decode, "transcribe", lambda *_: recognized)
    with pytest.raises(RecipeError, match=rf"asr behind noisy on .*: 1 of 4 were not recognized: {lost}"):
        decode.judge(made.steps, system, SEEN, "asr")
