"""Jobs are bounded, show their log's tail when they fail, and do not outlive the recipe."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.common.errors import RecipeError
from local.jobs import processes
from local.jobs.processes import KEEP_MEMORY, Program, run_programs


def python(code):
    return [sys.executable, "-c", code]


def test_a_failing_job_names_itself_its_log_and_the_last_lines(tmp_path):
    job = Program("training", python("print('the cause'); raise SystemExit(3)"), tmp_path / "train.log")
    with pytest.raises(RecipeError, match=r"training failed with exit code 3(.|\n)*train\.log(.|\n)*the cause"):
        run_programs([job], nj=1)


def test_a_failure_ends_the_others(tmp_path):
    slow = Program("slow", python("import time; time.sleep(60)"), tmp_path / "slow.log")
    bad = Program("bad", python("raise SystemExit(1)"), tmp_path / "bad.log")
    start = time.monotonic()
    with pytest.raises(RecipeError):
        run_programs([slow, bad], nj=2)
    assert time.monotonic() - start < 30


def test_a_log_that_cannot_be_read_ends_no_job(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_REPORT_SECONDS", 0.0)
    log = tmp_path / "train.log"
    done = tmp_path / "done"
    code = f"import os, time; os.remove({str(log)!r}); time.sleep(1); open({str(done)!r}, 'w')"
    run_programs([Program("training", python(code), log)], nj=1)
    assert done.exists()


def test_progress_is_told_when_it_is_new(tmp_path, monkeypatch, capsys):
    """An estimate that stands still would be wrong from its second line on."""
    monkeypatch.setattr(processes, "_REPORT_SECONDS", 0.0)
    code = "import time\n"
    for epoch, left in ((1, ""), (2, ". Estimated time to finish: 1 minute and 25.84 seconds")):
        code += f"print('INFO: {epoch}/2epoch started{left}', flush=True); time.sleep(1.5)\n"
    run_programs([Program("training", python(code), tmp_path / "train.log")], nj=1)
    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:] == ["training: epoch 1 of 2", "training: epoch 2 of 2, 1 minute and 25 seconds left"]
    assert len(lines) == len(set(lines))


def test_of_an_epochs_batches_is_told_now_and_then(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "_REPORT_SECONDS", 0.0)
    monkeypatch.setattr(processes, "_BATCH_SECONDS", 2.0)
    code = "import time\nprint('INFO: 1/2epoch started', flush=True); time.sleep(1)\n"
    code += "for n in range(1, 41): print(f'INFO: 1epoch:train:{n}-{n}batch: loss=1', flush=True); time.sleep(0.1)\n"
    run_programs([Program("training", python(code), tmp_path / "train.log")], nj=1)
    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    told = [line for line in lines if "batch" in line]
    assert 1 <= len(told) <= 3
    assert all(re.fullmatch(r"training: epoch 1 of 2, batch \d+", line) for line in told)


def test_a_killed_job_says_by_which_signal(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(RecipeError, match="killed by signal 9"):
        run_programs([Program("training", python(code), tmp_path / "train.log")], nj=1)


def test_at_most_nj_run_at_once(tmp_path):
    count = (
        "import pathlib, time, os; d = pathlib.Path({d!r}); m = d / str(os.getpid()); m.touch();"
        "time.sleep(0.5); print(len(list(d.iterdir()))); m.unlink()"
    )
    folder = tmp_path / "alive"
    folder.mkdir()
    jobs = [Program(f"job{k}", python(count.format(d=str(folder))), tmp_path / f"{k}.log") for k in range(5)]
    run_programs(jobs, nj=2)
    assert max(int((tmp_path / f"{k}.log").read_text()) for k in range(5)) <= 2


def test_threads_are_limited_and_the_log_is_appended(tmp_path):
    log = tmp_path / "a.log"
    for threads in (1, 2):
        run_programs(
            [Program("a", python("import os; print(os.environ['OMP_NUM_THREADS'])"), log, threads=threads)], nj=1
        )
    assert log.read_text() == "1\n2\n"


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        ({}, "None 10000"),
        ({"OMP_WAIT_POLICY": "active"}, "active None"),
        ({"GOMP_SPINCOUNT": "7"}, "None 7"),
    ],
)
def test_waiting_threads_fall_asleep_soon_unless_the_user_chose(chosen, found, tmp_path, monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    log = tmp_path / "a.log"
    code = "import os; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    run_programs([Program("a", python(code), log)], nj=1)
    assert log.read_text() == f"{found}\n"


@pytest.mark.parametrize("chosen", [{}, {"MALLOC_TRIM_THRESHOLD_": "1000000"}])
def test_freed_memory_is_kept_unless_the_user_chose(chosen, tmp_path, monkeypatch):
    for name in KEEP_MEMORY:
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    log = tmp_path / "a.log"
    code = f"import os; print(*(os.environ[name] for name in {sorted(KEEP_MEMORY)}))"
    run_programs([Program("a", python(code), log)], nj=1)
    assert log.read_text().split() == [{**KEEP_MEMORY, **chosen}[name] for name in sorted(KEEP_MEMORY)]


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel to end children with their parent")
def test_a_killed_recipe_leaves_no_job_behind(tmp_path):
    pid_file = tmp_path / "pid"
    child = f"import os, time, pathlib; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(60)"
    parent = (
        "from local.jobs.processes import KEEP_MEMORY, Program, run_programs; import sys; from pathlib import Path;"
        f"run_programs([Program('x', [sys.executable, '-c', {child!r}], Path({str(tmp_path / 'x.log')!r}))], nj=1)"
    )
    process = subprocess.Popen(python(parent), env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    deadline = time.monotonic() + 30
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pid = int(pid_file.read_text())
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if state == "Z":
            break
        assert time.monotonic() < deadline, "the job outlived its parent"
        time.sleep(0.05)
