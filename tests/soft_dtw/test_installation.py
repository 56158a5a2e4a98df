"""Without the optional packages, in other processes, and where nothing can be cached."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from espnet_plugins.soft_dtw import soft_dtw_from_cost


def run_python(script, *args, **environment):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *args],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
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

        sys.meta_path.insert(0, Missing())
        import torch
        from espnet_plugins.soft_dtw import soft_dtw, soft_dtw_divergence
        from espnet_plugins.soft_dtw.backends import resolve

        x = torch.rand(2, 5, 3, requires_grad=True)
        soft_dtw_divergence(x, x.detach(), backend="reference").sum().backward()
        for name, device in (("auto", "cpu"), ("cpu", "cpu"), ("auto", "cuda"), ("triton", "cuda")):
            try:
                resolve(name, torch.device(device))
            except ImportError as error:
                print(error)
        """
    said = run_python(script).splitlines()
    assert len(said) == 4
    for line, extra in zip(said, ("numba", "numba", "triton", "triton"), strict=True):
        assert f"needs {extra}: pip install 'espnet-plugins-ssl-enh[{extra}]'" in line
        assert "backend='reference'" in line


def test_import_pulls_in_no_compiler():
    script = """
        import sys
        import espnet_plugins.soft_dtw
        print(sorted({"numba", "triton", "espnet", "espnet2", "torchaudio"} & set(sys.modules)))
        """
    assert run_python(script) == "[]"


def test_second_process_finds_the_compiled_code():
    pytest.importorskip("numba")
    cost = torch.rand(1, 3, 3, requires_grad=True)
    soft_dtw_from_cost(cost, backend="cpu").sum().backward()
    script = """
        import torch
        from espnet_plugins.soft_dtw import soft_dtw_from_cost
        from espnet_plugins.soft_dtw.backends import cpu_kernels as kernels

        soft_dtw_from_cost(torch.rand(1, 3, 3, requires_grad=True), backend="cpu").sum().backward()
        for kernel in (kernels.strip_table, kernels.forward_strips, kernels.backward_strips):
            print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
        """
    assert run_python(script).splitlines() == ["1 0"] * 3


def test_compiles_where_nothing_can_be_cached(tmp_path):
    pytest.importorskip("numba")
    (tmp_path / "probe.py").write_text(
        "from espnet_plugins.soft_dtw.backends.cpu_kernels import _jit\n\n\n@_jit\ndef double(x):\n    return 2 * x\n"
    )
    # A file where the cache directory would be stops everyone, root too.
    (tmp_path / "__pycache__").write_text("")
    script = """
        import sys
        sys.path.insert(0, sys.argv[1])
        import probe
        print(probe.double(21), probe.double.stats.cache_path)
        """
    nowhere = str(tmp_path / "probe.py")
    assert run_python(script, str(tmp_path), HOME=nowhere, XDG_CACHE_HOME=nowhere, NUMBA_CACHE_DIR="") == "42 None"


def test_works_after_fork_and_in_data_loader_workers():
    pytest.importorskip("numba")
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    script = """
        import os
        import sys
        import torch
        from espnet_plugins.soft_dtw import soft_dtw_from_cost
        from espnet_plugins.soft_dtw.backends import cpu

        torch.set_num_threads(2)
        torch.manual_seed(0)
        cost = torch.rand(2, 200, 200)
        expected = soft_dtw_from_cost(cost)
        assert cpu._pool is not None  # the parent has threads that a child will miss

        class Data(torch.utils.data.Dataset):
            def __len__(self):
                return 4

            def __getitem__(self, index):
                return soft_dtw_from_cost(cost)

        child = os.fork()
        if child == 0:
            os._exit(0 if torch.equal(soft_dtw_from_cost(cost), expected) else 1)
        assert os.waitpid(child, 0)[1] == 0
        loader = torch.utils.data.DataLoader(Data(), num_workers=2, multiprocessing_context="fork")
        assert all(torch.equal(value[0], expected) for value in loader)
        print("same")
        """
    assert run_python(script) == "same"


def test_kernels_release_the_interpreter():
    kernels = pytest.importorskip("espnet_plugins.soft_dtw.backends.cpu_kernels", exc_type=ImportError)
    assert kernels.forward_strips.targetoptions["nogil"]
    assert kernels.backward_strips.targetoptions["nogil"]


def test_callers_in_several_threads_get_their_own_values(threads):
    pytest.importorskip("numba")
    from concurrent.futures import ThreadPoolExecutor

    threads(2)
    costs = [torch.rand(2, 150 + k, 160) for k in range(8)]
    expected = [soft_dtw_from_cost(cost, backend="cpu") for cost in costs]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda cost: soft_dtw_from_cost(cost, backend="cpu"), costs * 3))
    assert all(torch.equal(a, b) for a, b in zip(found, expected * 3, strict=True))
