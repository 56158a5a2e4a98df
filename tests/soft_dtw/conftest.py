"""Fixtures of the soft-DTW tests."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seed():
    """Same random numbers in every run."""
    torch.manual_seed(0)


@pytest.fixture(params=["reference", "cpu"])
def backend(request):
    """Backends that run on the CPU at full speed; Triton has tests of its own."""
    if request.param == "cpu":
        pytest.importorskip("numba", reason="the cpu backend needs numba")
    return request.param


@pytest.fixture
def threads():
    """Give a function that sets torch's threads, and set them back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
