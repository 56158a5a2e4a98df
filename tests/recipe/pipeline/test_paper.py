"""The paper's steps on the synthetic corpus, a tenth the size: every stage, the table's form, the plan."""

import re
import subprocess

import pytest
import yaml
from places import RECIPE

pytestmark = pytest.mark.recipe

# As preset smoke makes of mini, in fewer updates; several epochs and DNSMOS are in its own tests.
SMALL = {
    "extends": "paper_mini",
    "corpora": {
        "mini": {
            "voicebank_demand": {"train": 56, "dev": 10, "test": 8},
            "librimix": {"train": 20, "dev": 6, "test": 2},
            "noise_seconds": 15,
        }
    },
    "config": {
        "train_ssl": {"num_iters_per_epoch": 4, "max_epoch": 1, "batch_bins": 96000},
        "train_se": {"num_iters_per_epoch": 4, "max_epoch": 1, "batch_size": 4},
        "train_asr": {"num_iters_per_epoch": 3, "max_epoch": 1, "batch_bins": 160000},
        "train_pr": {"num_iters_per_epoch": 4, "max_epoch": 1, "batch_bins": 160000},
        "train_joint": {"num_iters_per_epoch": 2, "max_epoch": 2, "batch_bins": 96000},
        # Recognizers that were hardly trained do not find the end by themselves.
        "decode_asr": {"maxlenratio": 0.3, "beam_size": 1},
        "decode_pr": {"maxlenratio": 0.1},
    },
    "ssl": {"frames_for_kmeans": 4000},
    "quality_utterances": 2,
    "dnsmos": False,
    # One objective of three: each takes the same steps.
    "runs": {"objectives": "ssl_soft_dtw"},
}


def run(root, *more):
    folders = [word for name in ("downloads", "datadir", "dumpdir", "expdir") for word in (f"--{name}", root / name)]
    command = [RECIPE / "run.sh", *map(str, [*folders, *more])]
    return subprocess.run(command, capture_output=True, text=True, timeout=2300)


def test_every_step_and_the_table_of_the_paper(tmp_path):
    preset = tmp_path / "small.yaml"
    preset.write_text(yaml.safe_dump(SMALL))
    result = run(tmp_path, "--preset", preset)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    header, _, *rows = (tmp_path / "expdir" / "paper_table.md").read_text().splitlines()
    sets = ("test_clean", "test_seen", "test_unseen")
    assert header == "|system|" + "|".join(f"{name} {rate}" for name in sets for rate in ("WER", "PER")) + "|"
    assert [row.split("|")[1] for row in rows] == [
        "clean speech, no front-end",
        "noisy, no front-end",
        "SE front-end, not fine-tuned",
        "SSL-SoftDTW, front-end alone (2 seeds)",
    ]
    for row in rows:
        assert len(re.findall(r"\|\d+\.\d", row)) == 6
    assert rows[-1].count("±") == 6
    assert "Error rates (%) by recognizer" in result.stdout
    again = run(tmp_path, "--preset", preset)
    steps = [line for line in again.stdout.splitlines() if "[stage" in line]
    assert all("nothing to do" in line for line in steps)


def test_the_plan_says_what_is_trained_and_for_how_long(tmp_path):
    result = run(tmp_path, "--preset", "paper", "--dry_run", "true")
    assert result.returncode == 0, result.stderr
    assert "stage 3 se: published weights master64, no training" in result.stdout
    assert re.search(r"stage 4 asr: 200000 updates, .* about \d+\.\d GPU hours", result.stdout)
    assert re.search(r"stage 4 pr: 100000 updates", result.stdout)
    for objective in ("ssl_mse", "ssl_mse_pad", "ssl_soft_dtw"):
        for seed in (0, 1):
            assert re.search(rf"stage 5 {objective}_se_seed{seed}: 3600 updates", result.stdout)
    assert re.search(r"together: about \d+ GPU hours", result.stdout)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_corpus_of_a_preset(tmp_path):
    result = run(tmp_path, "--preset", "paper", "--corpus", "mini", "--dry_run", "true")
    assert result.returncode == 0, result.stderr
    assert "Preset paper_mini" in result.stdout
    refused = run(tmp_path, "--preset", "full", "--corpus", "mini")
    assert refused.returncode == 2
    assert "preset full has no --corpus mini" in refused.stderr
