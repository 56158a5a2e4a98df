"""The Triton backend: under the interpreter always, compiled always, on a GPU where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="the triton backend needs triton")
CASES = Path(__file__).with_name("triton_cases.py")


def run_cases(**environment):
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "passed" in result.stdout


def test_under_the_interpreter():
    run_cases(TRITON_INTERPRET="1", OMP_NUM_THREADS="1")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_the_gpu():
    run_cases(TRITON_INTERPRET="0")


@pytest.mark.parametrize("number", ["fp32", "fp64"])
@pytest.mark.parametrize("kernel", ["_forward", "_backward"])
def test_compiles_for_a_gpu_that_is_not_here(number, kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from espnet_plugins.soft_dtw.backends import triton as passes

    if "nvidia" not in triton.backends.backends:
        pytest.skip("this Triton has no compiler for NVIDIA devices")
    types = {
        **dict.fromkeys(("cost", "prefix", "value", "inflow", "grad", "alignment"), f"*{number}"),
        **dict.fromkeys(("x_lengths", "y_lengths", "band_half_widths"), "*i64"),
        **dict.fromkeys(("units", "base", "border"), "*fp64"),
        **dict.fromkeys(("N", "M", "num_with_grad", "strips", "chunks"), "i32"),
        **dict.fromkeys(("LANES", "CHUNK"), "constexpr"),
    }
    function = getattr(passes, kernel)
    signature = {name: types[name] for name in function.arg_names}
    source = ASTSource(function, signature, {"LANES": 512, "CHUNK": passes.CHUNK})
    compiled = triton.compile(source, target=GPUTarget("cuda", 80, 32), options={"num_warps": 4})
    assert compiled.asm["cubin"]
    # What one strip, or one step, hands to the next goes through barriers.
    assert "bar.sync" in compiled.asm["ptx"]
