"""The whole recipe on a corpus a tenth the size: every stage, again, interrupted, changed."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from once import once
from places import RECIPE, ROOT
from slurm_testbed import folders, skip_without_slurm, write_small_config
from toy_objective import write_toy

pytestmark = pytest.mark.recipe

OBJECTIVES = "si_snr ssl_soft_dtw"
TRAINED = "runs/ssl_soft_dtw_joint_seed0"
CHECKPOINTS = {stage: f"{name}/espnet/checkpoint.pth" for stage, name in ((3, "se"), (4, "asr"), (5, TRAINED))}


def options(root, *, objectives=OBJECTIVES):
    return ["--preset", "smoke", "--objectives", objectives, *folders(root)]


def run(root, *more, objectives=OBJECTIVES, check=True):
    command = [RECIPE / "run.sh", *options(root, objectives=objectives), *map(str, more)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=7000)
    assert not check or result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result


def table(stdout):
    lines = stdout.splitlines()
    start = lines.index("Word error rate (%)")
    return [line.rstrip() for line in lines[start:] if line.strip() and not line.startswith(("Tables", "Report"))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, in a folder with a blank in its name, and what it printed."""
    return once(tmp_path_factory, "smoke run with blanks", lambda root: run(root).stdout)


def copy(root, target, *names):
    """Copy parts of a run; archives are named by absolute paths, so data and dump stay where they are."""
    for name in names:
        shutil.copytree(root / name, target / name, symlinks=True)
    for name in ("downloads", "datadir", "dumpdir"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(root / name)


def test_a_table_with_every_row_and_column(finished):
    root, stdout = finished
    lines = table(stdout)
    assert lines[1].split() == ["system", "test_clean", "test_seen", "test_unseen", "test_hard", "test_librimix"]
    rows = lines[3:]
    assert [row.split("  ")[0] for row in rows] == [
        "clean speech, no front-end",
        "noisy, no front-end",
        "SE front-end, not fine-tuned",
        "SI-SNR + ASR loss",
        "SSL-SoftDTW + ASR loss",
    ]
    for row in rows:
        assert len(re.findall(r"\d+\.\d", row)) == 5
    # ESPnet's own lists, of folders that are gone.
    assert not list((root / "expdir" / "enhanced").rglob("out"))
    for name in ("RESULTS.md", "curves.png", "report.html"):
        assert (root / "expdir" / name).stat().st_size > 1000
    # Of ESPnet, which the recipe's own process imports for the costs.
    assert "Flash Attention" not in stdout


def test_again_does_nothing_and_prints_the_same_table(finished):
    root, stdout = finished
    start = time.monotonic()
    again = run(root)
    assert time.monotonic() - start < 60
    assert table(again.stdout) == table(stdout)
    steps = [line for line in again.stdout.splitlines() if "[stage" in line]
    assert steps
    assert all("nothing to do" in line for line in steps)


def test_every_run_is_packed(finished):
    """With its table, what it is made of and the recipe's own SSL model; nothing is uploaded unasked."""
    root, stdout = finished
    result = run(root, "--stage", "9", "--stop_stage", "10", objectives="ssl_soft_dtw")
    folder = root / "expdir" / "packed" / "ssl_soft_dtw_joint_seed0"
    assert re.search(r"\[stage 10\] ssl_soft_dtw_joint_seed0: not uploaded .*--upload_repo", result.stdout)
    with zipfile.ZipFile(folder / "model.zip") as archive:
        names, card = archive.namelist(), archive.read("README.md").decode()
        assert str(root) not in archive.read("exp/config.yaml").decode()
    assert {"RESULTS.md", "exp/model.pth", "exp/bpe.model", "exp/upstream.pth"} <= {*names}
    noisy = next(line for line in table(stdout) if line.startswith("noisy, no front-end")).split()[-1]
    for part in ("# SSL-SoftDTW + ASR loss, preset smoke", "synthesized by the recipe", f"{noisy}|", "--preset smoke"):
        assert part in card
    assert (folder / "front_end.zip").stat().st_size > 1000
    again = run(root, "--stage", "9", objectives="ssl_soft_dtw")
    assert "nothing to do" in again.stdout


def same_tensors(one, other):
    ours, theirs = (torch.load(path, weights_only=True) for path in (one, other))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def cells(lines):
    """(system, test set) -> word error rate, of the lines of a table."""
    names = lines[1].split()[1:]
    rows = [re.split(r"  +", line.strip()) for line in lines[3:]]
    return {(row[0], name): rate.lstrip("*") for row in rows for name, rate in zip(names, row[1:], strict=True)}


def run_killing(root, *words, left):
    """Run the recipe until it ends or is at work in a stage of `left`; there kill it, and take the stage out."""
    command = [RECIPE / "run.sh", *words, *folders(root)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    printed = []
    for line in process.stdout:
        printed.append(line)
        stage = re.search(r"\[stage (\d)\]", line)
        if stage and int(stage[1]) in left and not line.rstrip().endswith(("nothing to do", " s")):
            # Trainings are killed behind their first checkpoint, everything else soon after it began.
            if int(stage[1]) in CHECKPOINTS:
                wait_for(root / "expdir" / CHECKPOINTS[int(stage[1])], process)
            else:
                time.sleep(0.3 * int(stage[1]))
            os.killpg(process.pid, signal.SIGKILL)
            left.discard(int(stage[1]))
    process.wait()
    return process.returncode, "".join(printed)


def wait_for(path, process):
    deadline = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None, f"ended before {path}"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_killed_in_every_stage_and_started_again_it_ends_with_the_same_table(finished, tmp_path):
    root, stdout = finished
    # Some rows and columns of the other run, in the same steps; DNSMOS is a minute of scoring.
    own = tmp_path / "own.yaml"
    own.write_text("extends: smoke\ntest: [test_unseen, test_librimix]\ndnsmos: false\n")
    words = ["--preset", own, "--objectives", "ssl_soft_dtw"]
    left, resumed = set(range(1, 9)), 0
    for _ in range(12):
        code, printed = run_killing(tmp_path, *words, left=left)
        resumed += printed.count(": resuming")
        if code == 0:
            break
    assert code == 0
    assert not left
    assert resumed >= 6
    found, expected = cells(table(printed)), cells(table(stdout))
    assert len(found) == 4 * 2
    assert found == {cell: expected[cell] for cell in found}
    for name in ("se/model.pth", "asr/model.pth", "ssl/hubert/train.loss.ave_1best.pth", f"{TRAINED}/model.pth"):
        same_tensors(root / "expdir" / name, tmp_path / "expdir" / name)


def test_a_changed_setting_runs_what_depends_on_it_again_and_says_so(finished, tmp_path):
    root, _ = finished
    copy(root, tmp_path, "expdir/ssl", "expdir/se", "expdir/asr")
    own = tmp_path / "own.yaml"
    own.write_text("extends: smoke\nconfig:\n  train_asr: {max_epoch: 1}\n")
    only = ["--preset", own, "--stage", "3", "--stop_stage", "4"]
    result = run(tmp_path, *only)
    assert re.search(r"\[stage 3\] train .*nothing to do", result.stdout)
    assert re.search(r"\[stage 4\] train .*changed since the last run \(config.max_epoch: 2 -> 1\)", result.stdout)


def test_more_epochs_continue_the_experiment(finished, tmp_path):
    root, _ = finished
    copy(root, tmp_path, "expdir/ssl", "expdir/asr")
    own = tmp_path / "own.yaml"
    own.write_text("extends: smoke\nconfig:\n  train_asr: {max_epoch: 3}\n")
    result = run(tmp_path, "--preset", own, "--stage", "4", "--stop_stage", "4")
    assert re.search(r"\[stage 4\] train .*config.max_epoch: 2 -> 3: continuing", result.stdout)
    before, after = ((folder / "expdir" / "asr" / "curve.csv").read_text() for folder in (root, tmp_path))
    assert after.startswith(before)
    assert len(after.splitlines()) == 1 + 3
    log = (tmp_path / "expdir" / "asr" / "espnet" / "train.log").read_text()
    assert re.findall(r"(\d+)/(\d+)epoch started", log) == [("1", "2"), ("2", "2"), ("3", "3")]


def test_a_stage_whose_inputs_are_gone_names_them(finished, tmp_path):
    root, _ = finished
    copy(root, tmp_path, "expdir/ssl", "expdir/se")
    result = run(tmp_path, "--stage", "5", "--stop_stage", "5", check=False)
    assert result.returncode == 2
    assert re.search(r"asr/\.train\.done is missing: stage 4 makes it", result.stderr)


@pytest.mark.slurm
def test_the_page_about_clusters_is_true_and_gives_the_local_results(finished, tmp_path):
    """Every command of docs/cluster.md, on the Slurm that it starts; the whole recipe as job arrays."""
    local, stdout = finished
    skip_without_slurm()
    config = write_small_config(tmp_path / "slurm.yaml", memory="3G", time="30")
    page = (ROOT / "docs" / "cluster.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    given = shlex.join(options(tmp_path / "a run")[2:])
    blocks = [block.replace("./run.sh --preset smoke", f"./run.sh --preset smoke {given}") for block in blocks]
    # The chain that was submitted last ends before the page does.
    records = tmp_path / "records.txt"
    wait = f'while [ -n "$(squeue --noheader)" ]; do sleep 1; done\nscontrol show job > {records}\n'
    blocks.insert(-1, wait)
    script = "set -euo pipefail\n" + "\n".join(f"echo '== block {k}'\n{block}" for k, block in enumerate(blocks))
    with tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as testbed:
        environment = {**os.environ, "SLURM_TESTBED": f"{testbed}/bed", "CLUSTER_CONFIG": str(config)}
        try:
            result = subprocess.run(
                ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3600
            )
        finally:
            subprocess.run([ROOT / "tools" / "slurm_testbed.sh", "stop"], env=environment, check=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    outputs = re.split(r"^== block \d+\n", result.stdout, flags=re.MULTILINE)[1:]
    run_index = next(k for k, block in enumerate(blocks) if "--cmd_backend slurm\n" in block)
    assert [line for line in table(outputs[run_index]) if not line.startswith("#")] == table(stdout)
    for name in ("se/model.pth", "asr/model.pth", TRAINED + "/model.pth"):
        same_tensors(tmp_path / "a run" / "expdir" / name, local / "expdir" / name)
    assert re.search(r"^stage +part +job +state +progress$", outputs[run_index + 1], re.MULTILINE)
    assert re.search(r"^5 +ssl_soft_dtw_joint_seed0 +\d+_\d+ +done", outputs[run_index + 1], re.MULTILINE)
    jobs = re.findall(r"JobId=\d+ ArrayJobId=(\d+) ArrayTaskId=(\d+) JobName=(\w+)\n", records.read_text())
    for name in ("dump", "train", "joint", "decode"):
        own = [(job, task) for job, task, job_name in jobs if job_name == name]
        assert len({job for job, _ in own}) == 1, name
        assert len(own) >= 2, name
    assert re.search(r"\[stage 8\] report: 1 jobs, submitted as \d+\n", outputs[run_index + 2])


def test_toys_of_all_kinds_from_outside_the_repository_reach_the_table(tmp_path):
    """A corpus, an upstream and an objective, in modules of the user: every process of every stage knows them."""
    mine = tmp_path / "my files"
    preset = write_toy(mine)
    for name in ("toy_corpus", "toy_upstream"):
        source = Path(__file__).parents[1] / f"{name}.py"
        assert len(source.read_text().splitlines()) <= 40
        shutil.copy(source, mine / f"my_{name}.py")
    settings = {
        **yaml.safe_load(preset.read_text()),
        "import": ["my_toy", "my_toy_corpus", "my_toy_upstream"],
        "corpora": {"mini": None, "toy_tones": {"count": 8, "seed": 1}},
        "sets": {f"toy_{part}": {"corpus": "toy_tones", "part": part} for part in ("train", "dev")},
        "train": ["toy_train"],
        "dev": ["toy_dev"],
        "test": ["toy_dev"],
        "ssl": {"model": "toy_spectrum"},
        "vocabulary": "characters",
    }
    preset.write_text(yaml.safe_dump(settings))
    command = [RECIPE / "run.sh", "--preset", preset, "--objectives", "toy", *folders(tmp_path)]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=7000)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    lines = table(result.stdout)
    assert lines[1].split() == ["system", "toy_dev"]
    assert any(line.startswith("Toy + ASR loss  ") for line in lines)
    model = tmp_path / "expdir" / "runs" / "toy_joint_seed0"
    assert "toy_criterion=" in (model / "espnet" / "train.log").read_text()
    config = yaml.safe_load((model / "espnet" / "config.yaml").read_text())
    assert config["frontend_conf"]["upstream"]["model"] == "toy_spectrum"
    assert config["enh_criterions"][0]["conf"]["upstream"]["model"] == "toy_spectrum"
