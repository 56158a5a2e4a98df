"""The preset whisper_small from folders to its table, with a Whisper that guides and one that judges, both tiny."""

import subprocess

import jiwer
import numpy as np
import pytest
import soundfile
import yaml
from once import once
from places import RECIPE
from slurm_testbed import folders
from tiny_judge import write_tiny_judge
from tiny_whisper import tiny_encoder, write_ctranslate2

from espnet_plugins.analysis.comparison.curves import JUDGED, read_curve
from local.common.kaldi_dir import read_table, transcribed
from local.stages.score import read_hypotheses

pytest.importorskip("faster_whisper", reason="the judge needs the extra `whisper`")
pytestmark = pytest.mark.recipe
SAMPLE_RATE = 16000
OBJECTIVES = "ssl_mse_layer1 ssl_mse_pad_layer2"


def write_site(root):
    """Speech as LibriSpeech keeps it, partly without transcripts; noise of three kinds."""
    rng = np.random.default_rng(0)
    for part, speakers in (("train-clean-100", (11, 12, 13)), ("test-other", (21, 22, 23))):
        for speaker in speakers:
            folder = root / "speech" / part / str(speaker) / "7"
            folder.mkdir(parents=True)
            names = [f"{speaker}-7-{i:04d}" for i in range(4)]
            for name in names:
                envelope = np.repeat(rng.uniform(0.3, 1, 14), SAMPLE_RATE // 10)
                soundfile.write(
                    folder / f"{name}.flac", 0.05 * envelope * rng.standard_normal(len(envelope)), SAMPLE_RATE
                )
            if speaker != 12:
                (folder / f"{speaker}-7.trans.txt").write_text("".join(f"{name} WELL SAID\n" for name in names))
    (root / "noise").mkdir()
    for kind in ("rain", "hum", "bell"):
        soundfile.write(root / "noise" / f"{kind}.ogg", 0.1 * rng.standard_normal(44100 * 6), 44100)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return once(tmp_path_factory, "a site", make_site)[0]


def make_site(root):
    root.mkdir()
    write_site(root)
    write_ctranslate2(root / "model.bin", tiny_encoder().state_dict())
    write_tiny_judge(root / "judge")
    preset = {
        "extends": "whisper_small",
        "corpora": {"noisy_speech": {"unseen": ["hum"], "speakers": {"dev": 0.3}}},
        "ssl": {"model": "whisper", "checkpoint": str(root / "model.bin")},
        "layers": [1, 2],
        "front_end_weights": None,
        "judges": {
            "whisper_tiny_en": {"model": str(root / "judge"), "compute_type": "float32"},
            "another": {"model": str(root / "judge"), "compute_type": "float32", "beam_size": 2},
        },
        "development_judge": "whisper_tiny_en",
        "quality_utterances": 2,
        "dnsmos": False,
        "config": {
            "train_se": {"num_iters_per_epoch": 2, "max_epoch": 1, "batch_size": 2},
            "train_tune": {
                **{"num_iters_per_epoch": 2, "max_epoch": 2, "batch_size": 2, "chunk_length": 16000},
                "keep_every_updates": 2,
            },
        },
    }
    (root / "tiny.yaml").write_text(yaml.safe_dump(preset))
    return ""


def run(site, root, *more, check=True, objectives=OBJECTIVES):
    command = [RECIPE / "run.sh", "--preset", site / "tiny.yaml", "--objectives", objectives, *folders(root)]
    command += ["--librispeech", site / "speech", "--noise", site / "noise", *more]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=3000)
    assert not check or result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    return result


@pytest.fixture(scope="module")
def finished(site, tmp_path_factory):
    return once(tmp_path_factory, "whisper run", lambda root: run(site, root).stdout)


def test_a_table_for_each_judge(finished):
    root, stdout = finished
    rows = ("clean speech", "noisy", "SE front-end", "SSL-MSE, layer 1", "SSL-MSE-PAD, layer 2")
    table = stdout[stdout.index("Word error rate (%)") :]
    assert [row for row in rows if row not in table] == []
    for judge in ("whisper_tiny_en", "another"):
        for name in ("clean", "noisy", "se", "ssl_mse_layer1_se_seed0"):
            assert (root / "expdir" / f"score_{judge}" / name / "test_unseen.json").is_file(), (judge, name)


def test_the_judge_follows_a_training_on_the_development_set(finished):
    root, _ = finished
    for run in ("ssl_mse_layer1_se_seed0", "ssl_mse_pad_layer2_se_seed0"):
        folder = root / "expdir" / "development" / run
        curve = read_curve(folder / "curve.csv")
        trained = read_curve(root / "expdir" / "runs" / run / "curve.csv")
        last = int(trained["updates"][-1])
        assert curve["updates"].tolist() == list(range(0, last + 1, 2))
        assert curve["seconds"][0] == 0
        assert 0 < curve["seconds"][-1] <= trained["seconds"][-1]
        references = read_table(transcribed(root / "dumpdir" / "dev") / "text_spk1")
        for number, rate in zip(curve["updates"], curve[JUDGED], strict=True):
            heard = read_hypotheses(folder / "transcripts" / f"{number:g}")
            assert heard.keys() == references.keys()
            counts = [jiwer.process_words(text, heard[utt]) for utt, text in references.items()]
            words = [each.hits + each.substitutions + each.deletions for each in counts]
            # A loop of the judge counts as an utterance not understood.
            wrong = [
                said if each.insertions > max(20, said) else each.substitutions + each.deletions + each.insertions
                for each, said in zip(counts, words, strict=True)
            ]
            assert rate == pytest.approx(sum(wrong) / sum(words), abs=1e-6)
        assert [path.name for path in folder.iterdir() if "signals" in path.name] == []
    assert "development WER (%) after updates" in (root / "expdir" / "RESULTS.md").read_text()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"development_judge": "another one"}, "give one of the preset's judges (whisper_tiny_en, another)"),
        ({"config": {"train_tune": {"keep_every_updates": 0}}}, "how many updates lie between them"),
    ],
)
def test_a_judge_that_cannot_follow_is_refused_before_any_work(own, message, site, tmp_path):
    preset = tmp_path / "own.yaml"
    preset.write_text(yaml.safe_dump({"extends": str(site / "tiny.yaml"), **own}))
    result = run(site, tmp_path, "--preset", preset, "--stop_stage", "5", check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_again_there_is_nothing_to_do(finished, site):
    root, _ = finished
    stdout = run(site, root).stdout
    assert "done in" not in stdout


def test_what_needs_a_recognizer_is_refused_before_any_work(site, tmp_path):
    for objectives, message in (("mimic", "needs a recognizer"), ("multi_condition", "recognition loss alone")):
        result = run(site, tmp_path, check=False, objectives=objectives)
        assert result.returncode == 2
        assert message in result.stderr
        assert "Traceback" not in result.stderr
