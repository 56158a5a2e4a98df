"""Stage 7: every utterance is counted, nothing is scored twice, and what is missing is named."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys

import kaldiio
import numpy as np
import pytest
import soundfile
from fake_experiment import SETS, Experiment
from places import RECIPE

from espnet_plugins.analysis.scoring.listeners import DNSMOS, missing_for_dnsmos
from espnet_plugins.analysis.scoring.quality import METRICS
from espnet_plugins.analysis.scoring.scores import SetScore, read_scores
from local.common.errors import MissingInput, OptionError, RecipeError
from local.stages import experiment as steps
from local.stages import score


def end_the_process_in_pesq(pair, *, dnsmos=None):
    """measure_pair(), with PESQ's library ending the process on one utterance."""
    if pair.metrics == ("pesq",) and pair.utterance == "spk0_00":
        os.kill(os.getpid(), signal.SIGSEGV)
    return score.measure_pair(pair, dnsmos=dnsmos)


@pytest.fixture
def experiment(tmp_path):
    return Experiment(tmp_path)


def run(experiment):
    experiment.run(7)


def stored(experiment, system="noisy", name="test_seen"):
    return SetScore.read(experiment.recipe.expdir / "score" / system / f"{name}.json")


def rewrite(path, change):
    """Change the lines of a file."""
    path.write_text("".join(line + "\n" for line in change(path.read_text().splitlines())))


def test_whole_stage_as_the_shell_calls_it(tmp_path):
    """Errors and quality of every system, twice: the second time nothing is left to do."""
    experiment = Experiment(tmp_path, quality_utterances=3)
    command = [sys.executable, "-m", "local.pipeline.run", "--stage=7", "--stop_stage=7", *experiment.options]
    first = subprocess.run(command, cwd=RECIPE, capture_output=True, text=True, check=True)
    scores = read_scores(experiment.recipe.expdir / "score")
    assert set(scores) == set(experiment.systems)
    for system, sets in scores.items():
        assert set(sets) == set(SETS)
        for result in sets.values():
            assert len(result.utterances) == 8
            assert result.total("words").reference == 32
            assert result.missing == []
            assert result.unscorable == {}
            measured = [u.quality for u in result.utterances.values() if u.quality]
            assert len(measured) == (0 if system == "clean" else 3)
            assert all(set(values) == set(METRICS) for values in measured)
    assert scores["clean"]["test_seen"].total("words").errors == 0
    assert scores["noisy"]["test_seen"].total("words").errors > 0
    for metric in METRICS:
        better, worse = scores["se"]["test_seen"].quality(metric), scores["noisy"]["test_seen"].quality(metric)
        assert np.mean(better) > np.mean(worse), metric
    assert "signal quality: 100%" in first.stderr
    files = sorted((experiment.recipe.expdir / "score").glob("*/*.json"))
    before = [path.read_bytes() for path in files]
    second = subprocess.run(command, cwd=RECIPE, capture_output=True, text=True, check=True)
    assert second.stdout.count("nothing to do") == len(files) == 14
    assert "signal quality" not in second.stderr
    assert [path.read_bytes() for path in files] == before


def test_missing_hypothesis_is_deletions_with_a_warning(capsys, experiment):
    rewrite(experiment.text("noisy", "test_seen"), lambda lines: lines[1:])
    run(experiment)
    result = stored(experiment)
    assert result.missing == ["spk0_00"]
    assert result.utterances["spk0_00"].words.deletions == 4
    assert result.total("words").reference == 32
    folder = experiment.recipe.expdir / "score" / "noisy"
    listing = (folder / "test_seen.result.txt").read_text()
    assert listing.startswith(f"noisy on test_seen, preset {experiment.recipe.name}\n| SPKR")
    assert "Sum/Avg" in listing
    assert "Confusions: " in (folder / "test_seen.errs.txt").read_text()
    assert "noisy on test_seen: no hypothesis for spk0_00" in capsys.readouterr().out


def test_empty_hypothesis_is_deletions_without_a_warning(capsys, experiment):
    rewrite(experiment.text("noisy", "test_seen"), lambda lines: ["spk0_00", *lines[1:]])
    run(experiment)
    result = stored(experiment)
    assert result.missing == []
    assert result.utterances["spk0_00"].words.deletions == 4
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines, "spk9_99 one"], "e.g. spk9_99"),
        (lambda lines: [*lines, lines[0]], "spk0_00 is duplicated"),
        (lambda lines: [*lines, ""], "run stage 6 again"),
    ],
)
def test_hypotheses_that_do_not_fit_are_refused(experiment, change, message):
    path = experiment.text("noisy", "test_seen")
    rewrite(path, change)
    with pytest.raises(RecipeError, match=message) as error:
        run(experiment)
    assert str(path) in str(error.value)
    assert not (experiment.recipe.expdir / "score" / "noisy" / "test_seen.json").exists()


def test_unscorable_audio_is_listed_and_the_rest_is_measured(tmp_path, monkeypatch, capsys):
    experiment = Experiment(tmp_path, quality_utterances="all")
    system = experiment.systems["se"]
    wavs = experiment.steps.enhance(system, "test_seen").out / "wavs"
    soundfile.write(wavs / "spk0_00.flac", np.zeros(16000), 16000)
    (wavs / "spk1_01.flac").write_bytes(b"fLaC and nothing more")
    soundfile.write(wavs / "spk0_02.flac", 0.1 * np.ones(100), 16000)
    soundfile.write(wavs / "spk1_03.flac", 0.1 * np.ones(100), 8000)
    listed = wavs.parent / "spk1.scp"
    rewrite(listed, lambda lines: [line for line in lines if not line.startswith("spk0_04")])
    (wavs / "spk1_05.flac").unlink()
    scoring = score.SetScoring(experiment.steps, system, "test_seen")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    scoring.score(map(score.measure_pair, scoring.pairs))
    result = stored(experiment, "se")
    assert set(result.unscorable) == {"spk0_00", "spk1_01", "spk0_02", "spk1_03", "spk0_04", "spk1_05"}
    reasons = [result.unscorable[utt] for utt in sorted(result.unscorable)]
    wanted = ["silent", "samples", "no enhanced signal", "not an audio file", "8000 Hz", "cannot be read"]
    assert all(part in reason for part, reason in zip(wanted, reasons, strict=True))
    assert all(len(result.quality(metric)) == 2 for metric in METRICS)
    assert capsys.readouterr().out.count("warning: se on test_seen: quality of") == 6
    assert result.total("words").reference == 32


def test_a_library_that_ends_its_process_costs_one_value(tmp_path, monkeypatch, capsys):
    experiment = Experiment(tmp_path, quality_utterances=4, options=["--nj", "2"])
    monkeypatch.setattr(score, "measure_pair", end_the_process_in_pesq)
    noisy = score.SetScoring(experiment.steps, experiment.systems["noisy"], "test_seen")
    score.score_all(experiment.recipe, [noisy])
    result = stored(experiment)
    chosen = [pair.utterance for pair in noisy.pairs if pair.metrics == ("pesq",)]
    assert len(chosen) == 4
    for utt in chosen:
        assert set(result.utterances[utt].quality) == set(METRICS) - ({"pesq"} if utt == "spk0_00" else set())
    assert result.unscorable == {"spk0_00": "pesq: its process ended with SIGSEGV"}
    assert "quality of spk0_00 not measured: pesq: its process ended with SIGSEGV" in capsys.readouterr().out
    assert result.total("words").reference == 32


def test_scores_made_again_are_the_same_bytes(tmp_path):
    experiment = Experiment(tmp_path, quality_utterances=2)
    noisy = score.SetScoring(experiment.steps, experiment.systems["noisy"], "test_seen")
    path = experiment.recipe.expdir / "score" / "noisy" / "test_seen.json"
    written = []
    for _ in range(2):
        noisy.score(map(score.measure_pair, noisy.pairs))
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_networks_that_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    recipe = Experiment(tmp_path).recipe
    wanted = dataclasses.replace(recipe, preset={**recipe.preset, "dnsmos": True})
    assert score.listeners(wanted) == ()
    for setting, problem in (({"distillmos": True}, "pip install distillmos"), ({"dnsmos": "nets"}, "fetch it from")):
        asked = dataclasses.replace(recipe, preset={**recipe.preset, **setting})
        with pytest.raises(OptionError, match=problem):
            score.listeners(asked)
    monkeypatch.undo()
    assert score.listeners(recipe) == ()


def test_networks_judge_their_own_number_of_utterances(tmp_path):
    if problem := missing_for_dnsmos():
        pytest.skip(problem)
    experiment = Experiment(tmp_path, quality_utterances=4)
    setting = {"dnsmos": True, "listened_utterances": 1}
    recipe = dataclasses.replace(experiment.recipe, preset={**experiment.recipe.preset, **setting})
    noisy = score.SetScoring(steps.Experiment(recipe, experiment.runs), experiment.systems["noisy"], "test_seen")
    judged = [pair for pair in noisy.pairs if pair.metrics == ("dnsmos",)]
    assert len(judged) == 1
    assert set(score.measure_pair(judged[0])[1]) == set(DNSMOS)


def test_a_changed_decoding_is_scored_again_and_no_other(capsys, experiment):
    run(experiment)
    capsys.readouterr()
    path = experiment.text("noisy", "test_unseen")
    path.write_text("".join(f"spk{i % 2}_{i:02d} five\n" for i in range(8)))
    experiment.touch(path.parent / ".recognise.done", "second")
    run(experiment)
    out = capsys.readouterr().out
    assert out.count("nothing to do") == 13
    assert "score.test_unseen (score/noisy): changed since the last run (input 'hypotheses')" in out
    assert stored(experiment, "noisy", "test_unseen").total("words").correct == 0


def test_an_interrupted_stage_goes_on_where_it_stopped(capsys, experiment):
    broken = experiment.text("ssl_mse_joint_seed0", "test_seen")
    text = broken.read_text()
    broken.write_text(text + "spk9_99 one\n")
    with pytest.raises(RecipeError):
        run(experiment)
    done = list((experiment.recipe.expdir / "score").glob("*/.score.*.done"))
    assert 0 < len(done) < 14
    broken.write_text(text)
    capsys.readouterr()
    run(experiment)
    assert capsys.readouterr().out.count("nothing to do") == len(done)
    assert not list((experiment.recipe.expdir / "score").rglob("*.tmp"))
    assert set(read_scores(experiment.recipe.expdir / "score")) == set(experiment.systems)


def test_a_system_that_was_not_decoded_names_stage_6(experiment):
    (experiment.text("ssl_mse_joint_seed1", "test_seen").parent / ".recognise.done").unlink()
    with pytest.raises(MissingInput, match=r"ssl_mse_joint_seed1.*stage 6 makes it") as error:
        run(experiment)
    assert error.value.exit_code == 2
    assert not (experiment.recipe.expdir / "score").exists()


def test_audio_of_every_kind_is_scaled_alike(tmp_path):
    signal = np.linspace(-0.5, 0.5, 1000)
    kaldiio.save_ark(
        str(tmp_path / "d.ark"),
        {"utt": (16000, signal)},
        scp=str(tmp_path / "d.scp"),
        write_function="soundfile",
        write_kwargs={"format": "flac"},
    )
    places = [(tmp_path / "d.scp").read_text().split()[1]]
    for name, subtype in (("a.wav", "PCM_16"), ("b.flac", "PCM_16"), ("c.wav", "PCM_24")):
        soundfile.write(tmp_path / name, signal, 16000, subtype=subtype)
        places.append(str(tmp_path / name))
    for place in places:
        samples, rate = score.load_audio(place)
        assert rate == 16000
        assert samples == pytest.approx(signal, abs=1e-4)


def test_scores_are_valid_json_with_a_line_per_field(experiment):
    run(experiment)
    content = json.loads((experiment.recipe.expdir / "score" / "clean" / "test_seen.json").read_text())
    assert content["utterances"]["spk0_00"]["condition"] == "hum_2.5dB"
    assert content["utterances"]["spk0_00"]["speaker"] == "spk0"
