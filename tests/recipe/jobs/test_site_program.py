"""A site's own program with Kaldi's calling convention, by one variable: --cmd_backend /site/utils/queue.pl"""

import re
import subprocess

import pytest
from places import RECIPE

# The convention: options in pairs, a range, a log, words that a shell reads; words with blanks are quoted. Each
# task starts in the same folder with its path.sh and little else of the environment.
PROGRAM = r"""#!/usr/bin/env bash
echo "$@" >> "${0%/*}/called"
while [[ $1 == -* ]]; do shift 2; done
IFS='=:' read -r variable first last <<< "$1"
shift
log=$1
shift
command=
for word in "$@"; do
    [[ ${word} != *[[:space:]]* ]] || word="\"${word}\""
    command+="${word} "
done
failed=0
for ((task = first; task <= last; task++)); do
    script="cd '${PWD}'; . ./path.sh; ( ${command//${variable}/${task}} ) > ${log//${variable}/${task}} 2>&1"
    env -i HOME="${HOME}" PATH=/usr/bin:/bin OWN_PYTHON="${OWN_PYTHON:-}" bash -c "${script}" || failed=$((failed + 1))
done
[ "${failed}" -eq 0 ] || { echo "$0: ${failed} / $((last - first + 1)) failed, log is in ${log}" >&2; exit 1; }
"""


@pytest.fixture
def run(tmp_path):
    program = tmp_path / "queue.pl"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    names = ("downloads", "datadir", "dumpdir", "expdir")
    folders = [word for name in names for word in (f"--{name}", str(tmp_path / name))]

    def run(*options):
        command = [RECIPE / "run.sh", "--preset", "smoke", "--cmd_backend", program, *folders, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=2300)

    return run


@pytest.mark.recipe
def test_the_recipe_runs_through_it(run, tmp_path):
    result = run("--stop_stage", "1", "--ngpu", "2")
    assert result.returncode == 0, result.stderr
    log = (tmp_path / "expdir" / "jobs" / "corpora.1.log").read_text()
    assert re.search(r"\[stage 1\] mix_test .*: done in", log)
    called = (tmp_path / "called").read_text().split()
    assert called[called.index("--mem") + 1] == "8G"
    assert "--gpu" not in called


def test_a_failure_of_its_jobs_is_passed_on(run, tmp_path):
    result = run("--stage", "3", "--stop_stage", "4", "--ngpu", "2")
    assert result.returncode == 1
    assert f"2 / 2 failed, log is in {tmp_path}/expdir/jobs/train.JOBNUMBER.log" in result.stderr
    assert "train failed; run the same command again when the cause is gone" in result.stderr
    for task in (1, 2):
        assert "stage 2 makes it" in (tmp_path / "expdir" / "jobs" / f"train.{task}.log").read_text()
    called = (tmp_path / "called").read_text().split()
    assert called[called.index("--gpu") + 1] == "2"


def test_a_program_that_is_not_there_is_one_clear_line(tmp_path):
    result = subprocess.run(
        [RECIPE / "run.sh", "--cmd_backend", tmp_path / "slurm.pl"], capture_output=True, text=True, timeout=2300
    )
    assert result.returncode == 2
    assert f"unknown --cmd_backend '{tmp_path}/slurm.pl'" in result.stderr
