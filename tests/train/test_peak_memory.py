"""Peak memory of a training: no less than what is held, and the largest of several pieces."""

import json
from pathlib import Path

from espnet_plugins.train.memory import FILE, record_peak_memory


def test_peak_is_that_of_the_process_and_never_forgotten(tmp_path):
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    record_peak_memory(tmp_path)
    first = json.loads((tmp_path / FILE).read_text())
    # The kernel's counters lag behind by some pages per thread.
    assert 0.98 * 1024 * int(status["VmRSS"].split()[0]) <= first["host_bytes"] < 1e12
    (tmp_path / FILE).write_text(json.dumps({"host_bytes": 10**15, "gpu_bytes": 7}))
    record_peak_memory(tmp_path)
    assert json.loads((tmp_path / FILE).read_text()) == {"host_bytes": 10**15, "gpu_bytes": 7}
