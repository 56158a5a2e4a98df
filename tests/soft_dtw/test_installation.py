"""Without the optional packages, in other processes, and where nothing can be cached."""

import importlib
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from espnet_plugins.soft_dtw import soft_dtw_from_cost


def run_python(script, *args):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *args], capture_output=True, text=True, check=False, timeout=600
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_works_without_numba_and_triton():
    script = """
        import sys

        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("numba", "llvmlite", "triton"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        import espnet_plugins.soft_dtw
        print(sorted({"numba", "triton", "espnet", "espnet2", "torchaudio"} & set(sys.modules)))

        sys.meta_path.insert(0, Missing())
        import torch
        from espnet_plugins.soft_dtw import soft_dtw, soft_dtw_divergence
        from espnet_plugins.soft_dtw.backends import resolve

        x = torch.rand(2, 5, 3, requires_grad=True)
        soft_dtw_divergence(x, x.detach(), backend="reference").sum().backward()
        for name in ("auto", "cpu"):
            try:
                soft_dtw(x, x, backend=name)
            except ImportError as error:
                print(error)
        for name in ("auto", "triton"):
            try:
                resolve(name, torch.device("cuda"))
            except ImportError as error:
                print(error)
        """
    imported, *said = run_python(script).splitlines()
    assert imported == "[]"
    assert len(said) == 4
    for line, extra in zip(said, ("numba", "numba", "triton", "triton"), strict=True):
        assert f"needs {extra}: pip install 'espnet-plugins-ssl-enh[{extra}]'" in line
        assert "backend='reference'" in line


def test_compiles_where_nothing_can_be_cached(tmp_path, monkeypatch):
    numba = pytest.importorskip("numba")
    (tmp_path / "uncached_probe.py").write_text(
        "from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import jit\n\n\n"
        "@jit\ndef double(x):\n    return 2 * x\n"
    )
    # A file where the cache directory would be stops everyone, root too.
    (tmp_path / "__pycache__").write_text("")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "uncached_probe.py"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.syspath_prepend(tmp_path)
    probe = importlib.import_module("uncached_probe")
    monkeypatch.delitem(sys.modules, "uncached_probe")
    assert probe.double(21) == 42
    assert probe.double.stats.cache_path is None


def test_kernels_are_compiled_anew_when_a_file_beside_them_changes(tmp_path):
    pytest.importorskip("numba")
    (tmp_path / "inner_kernel.py").write_text(KERNEL.format(name="inner", first="", result="x + 1"))
    first = "from inner_kernel import inner"
    (tmp_path / "outer_kernel.py").write_text(KERNEL.format(name="outer", first=first, result="10 * inner(x)"))
    script = """
        import sys
        sys.path.insert(0, sys.argv[1])
        from outer_kernel import outer
        print(outer(1), sum(outer.stats.cache_hits.values()))
    """
    assert run_python(script, str(tmp_path)) == "20 0"
    assert run_python(script, str(tmp_path)) == "20 1"
    (tmp_path / "inner_kernel.py").write_text(KERNEL.format(name="inner", first="", result="x + 2"))
    assert run_python(script, str(tmp_path)) == "30 0"


KERNEL = """
from espnet_plugins.soft_dtw.backends.cpu_kernels.compiling import jit
{first}


@jit
def {name}(x):
    return {result}
"""


SECOND_PROCESS = """
    import os
    import threading
    import numpy as np
    import torch
    from espnet_plugins.soft_dtw import soft_dtw_from_cost
    from espnet_plugins.soft_dtw.backends import cpu, cpu_kernels as kernels

    torch.set_num_threads(2)
    torch.manual_seed(0)
    cost = torch.rand(2, 200, 200)
    expected = soft_dtw_from_cost(cost)
    soft_dtw_from_cost(cost.clone().requires_grad_()).sum().backward()
    for kernel in (kernels.strip_table, kernels.forward_strips, kernels.backward_strips):
        print("cached", sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))

    # The second strip waits for the first, which this thread stands in for: a kernel that kept the interpreter
    # to itself would wait for ever.
    geometry = kernels.Geometry(*(np.array([k]) for k in (64, 50, 64 * 50)))
    table, nothing = kernels.strip_table(*geometry, 0), np.empty((0, kernels.ABOVE + 2 * kernels.CHUNK), np.float32)
    progress, counter, values = np.zeros((1, 2), np.int64), np.ones(1, np.int64), np.zeros(1)
    matrices = kernels.Matrices(np.zeros(64 * 50, np.float32), np.array([0, 64 * 50]), np.array([50]))
    one, terms = np.float32(1), np.zeros((1, 64), np.float32)
    costs = kernels.Costs(matrices, one, one, terms, terms)
    queue = kernels.Queue(table, counter, np.ones((1, 50, 2)), progress)
    arguments = costs, geometry, queue, 0, values, nothing
    waiting = threading.Thread(target=kernels.forward_strips, args=arguments)
    waiting.start()
    while counter[0] == 1 and waiting.is_alive():
        pass
    assert waiting.is_alive()
    progress[0, 0] = 1 << 60
    waiting.join()
    print("released")

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return soft_dtw_from_cost(cost)

    assert cpu._pool is not None  # this process has threads that a child will miss
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(soft_dtw_from_cost(cost), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
    loader = torch.utils.data.DataLoader(Data(), num_workers=2, multiprocessing_context="fork")
    assert all(torch.equal(value[0], expected) for value in loader)
    print("same in children")
    """


def test_a_second_process_its_threads_and_its_children():
    """It finds the compiled code on disk, its kernels release the interpreter, and forked workers compute too."""
    pytest.importorskip("numba")
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    soft_dtw_from_cost(torch.rand(1, 3, 3, requires_grad=True), backend="cpu").sum().backward()
    assert run_python(SECOND_PROCESS).splitlines() == ["cached 1 0"] * 3 + ["released", "same in children"]


def test_callers_in_several_threads_get_their_own_values(threads):
    pytest.importorskip("numba")
    from concurrent.futures import ThreadPoolExecutor

    threads(2)
    costs = [torch.rand(2, 150 + k, 160) for k in range(8)]
    expected = [soft_dtw_from_cost(cost, backend="cpu") for cost in costs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda cost: soft_dtw_from_cost(cost, backend="cpu"), costs * 3))
    assert all(torch.equal(a, b) for a, b in zip(found, expected * 3, strict=True))
