"""Broken input of every kind, a few dozen cases each, the same every time; tools/fuzz.sh does it for longer."""

import multiprocessing
import resource
import signal
import traceback

import fuzz_run
import pytest
import torch
from fuzz_run import Counts, Finding, check_case, limit_memory, try_cases
from fuzz_targets import TARGETS

# Cases of the slower targets cost a tenth of a second.
_COUNTS = {"presets": 12, "checkpoints": 25}
# Far more than any takes, on a busy machine too.
_SECONDS = 600


def _try(name, root, sender):
    counts = Counts()
    # The threads that an earlier test of this process had are not there behind a fork: torch would wait for them.
    torch.set_num_threads(1)
    try:
        TARGETS[name].warm_up()
        limit_memory()
        for tree in TARGETS[name].whole():
            assert check_case(TARGETS[name], tree, root) == "read", f"refused, though it is whole: {[*tree]}"
        try_cases(TARGETS[name], root, number=0, count=_COUNTS.get(name, 60), counts=counts)
        sender.send((counts.cases, ""))
    except Finding as finding:
        sender.send((counts.cases, str(finding)))
    except BaseException:
        sender.send((counts.cases, traceback.format_exc()))


@pytest.mark.parametrize("name", TARGETS)
def test_broken_input_is_read_or_refused_by_name(name, tmp_path):
    """In a process of its own, whose memory is bounded; what is not broken is read."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_try, args=(name, tmp_path / "cases", sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(_SECONDS):
            process.kill()
        cases, story = receiver.recv()
    except EOFError:
        cases, story = 0, "the process died"
    process.join()
    assert not story
    assert cases >= _COUNTS.get(name, 60) // 2


def _spin():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    fuzz_run.LIMIT_S = 0
    fuzz_run._limit_time()
    while True:
        pass


def test_a_batch_that_hangs_ends_its_process_with_a_traceback(capfd):
    """By the time of a core: on a busy machine whole batches waited for longer than they may take."""
    process = multiprocessing.get_context("fork").Process(target=_spin)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGXCPU
    assert "_spin" in capfd.readouterr().err
