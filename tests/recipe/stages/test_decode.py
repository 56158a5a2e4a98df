"""Which decodings share their audio, and that a shared one is taken over."""

import pytest
from fake_experiment import SETS, Experiment

from local.stages.decode import copy_transcripts, is_done, recognise_step, same_audio
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


def test_multi_condition_training_has_a_recogniser_of_its_own_and_nothing_to_enhance(tmp_path):
    options = ["--datadir", str(tmp_path / "data"), "--objectives", "multi_condition"]
    made = Experiment(tmp_path, utterances=4, options=options)
    system = made.systems["multi_condition_joint_seed0"]
    for name in SETS:
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "wav.scp").write_text("u1 /corpus/u1.wav\n")
    assert (system.front_end, system.is_joint) == ("none", True)
    assert same_audio(made.recipe, system, UNSEEN) is None
    assert same_audio(made.recipe, made.systems["noisy"], UNSEEN) is not None
    assert "enhanced" not in recognise_step(made.recipe, system, SEEN).inputs
    assert not SetScoring(made.recipe, system, SEEN).pairs
    assert SetScoring(made.recipe, made.systems["noisy"], SEEN).measured


def twin(experiment, system, name):
    found = same_audio(experiment.recipe, experiment.systems[system], name)
    return found and (found[0].name, found[1])


def test_the_first_pair_that_hears_the_same_files(experiment):
    assert twin(experiment, "clean", SEEN) is None
    assert twin(experiment, "clean", UNSEEN) == ("clean", SEEN)
    assert twin(experiment, "noisy", SEEN) is None
    assert twin(experiment, "noisy", UNSEEN) is None
    assert twin(experiment, "se", UNSEEN) is None


def test_a_set_whose_input_is_clean_speech(experiment):
    (experiment.root / "data" / UNSEEN / "wav.scp").write_text("u1 /corpus/clean/u1.wav\n")
    assert twin(experiment, "noisy", UNSEEN) == ("clean", SEEN)


@pytest.mark.parametrize("change", ["other files", "no data directory"])
def test_other_audio_is_recognised_by_itself(experiment, change):
    path = experiment.root / "data" / UNSEEN / "spk1.scp"
    if change == "other files":
        path.write_text("u1 /corpus/clean/u2.wav\n")
    else:
        path.unlink()
    assert twin(experiment, "clean", UNSEEN) is None


def test_transcripts_are_taken_over_and_follow_their_source(experiment):
    recipe, clean, noisy = experiment.recipe, experiment.systems["clean"], experiment.systems["noisy"]
    (experiment.root / "data" / UNSEEN / "wav.scp").write_text("u1 /corpus/clean/u1.wav\n")
    experiment.touch(noisy.trained[-1].done)
    pair = same_audio(recipe, noisy, UNSEEN)
    target = recognise_step(recipe, noisy, UNSEEN)
    target.done.unlink()
    assert not is_done(recipe, noisy, UNSEEN)
    copy_transcripts(recipe, noisy, UNSEEN, pair)
    assert is_done(recipe, noisy, UNSEEN)
    assert (target.out / "text").read_text() == experiment.text("clean", SEEN).read_text()
    experiment.touch(recognise_step(recipe, clean, SEEN).done, "second")
    assert not is_done(recipe, noisy, UNSEEN)
