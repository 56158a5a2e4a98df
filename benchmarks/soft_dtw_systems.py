"""What benchmarks/soft_dtw.py times: this package, the packages people use today, and the products alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pack_padded_sequence

from espnet_plugins.soft_dtw import soft_dtw, soft_dtw_from_cost

# Peak in floats for each number of the (B, N, M, D) difference that these form; measured.
_EXPANSION = {"ddtw": 4.3, "tslearn": 4.5}


@dataclass(frozen=True)
class Problem:
    """A batch of pairs.

    Args:
        name: How it was asked for, e.g. "8x300x768" or "8x750x768:mixed".
        x: (B, N, D) frames that need a gradient.
        y: (B, N, D) frames; may need one too.
        lengths: Frames of each x and of each y, or None for all.
        gamma: Smoothing.
    """

    name: str
    x: torch.Tensor
    y: torch.Tensor
    lengths: tuple[list[int], list[int]] | None
    gamma: float

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Frames of each pair."""
        if self.lengths is None:
            return [(self.x.shape[1], self.y.shape[1])] * len(self.x)
        return list(zip(*self.lengths, strict=True))

    @property
    def cells(self) -> int:
        """Cells that count."""
        return sum(n * m for n, m in self.pairs)

    @property
    def padded_cells(self) -> int:
        """Cells of the padded cost matrices."""
        return len(self.x) * self.x.shape[1] * self.y.shape[1]


def make_problem(name: str, *, gamma: float, both: bool, device: torch.device) -> Problem:
    """Make frames as objectives see them: L2-normalized, each near the one before, y a noisy x.

    Args:
        name: BxNxD, with ":mixed" for lengths from a fifth of N to N, those of y in another order.
        gamma: Smoothing.
        both: Whether y needs a gradient too.
        device: Where.

    Returns:
        The problem.

    Raises:
        ValueError: for a name of another form.
    """
    shape, _, kind = name.partition(":")
    sizes = [int(part) for part in shape.split("x") if part.isdecimal()]
    if len(sizes) != 3 or 0 in sizes or shape.count("x") != 2 or kind not in ("", "mixed"):
        raise ValueError(f"shape {name!r} is not of the form BxNxD or BxNxD:mixed, e.g. 8x300x768")
    generator = torch.Generator().manual_seed(0)
    walk = torch.randn(sizes, generator=generator).cumsum(1)
    noise = torch.randn(sizes, generator=generator)
    lengths = None
    if kind:
        spread = torch.linspace(max(1, sizes[1] // 5), sizes[1], sizes[0]).long()
        lengths = spread.tolist(), spread.roll(sizes[0] // 2).tolist()
    x, y = (normalize(frames, dim=-1).to(device) for frames in (walk, walk + 3 * noise))
    return Problem(name, x.requires_grad_(), y.requires_grad_(both), lengths, gamma)


def make_systems(
    problem: Problem, *, leave_out: Sequence[str] = ()
) -> tuple[dict[str, Callable[[], torch.Tensor | None]], dict[str, str]]:
    """Everything that takes the problem from features to gradients.

    Args:
        problem: What to solve.
        leave_out: Packages that are not asked for.

    Returns:
        Name -> function without arguments that returns the values, or their sum, where there are some; name -> why
        it is not among them.
    """
    systems: dict[str, Callable[[], torch.Tensor | None]] = {
        "this package": make_ours(problem),
        "floor": _floor(problem),
    }
    missing = {}
    for name, make in (("pysdtw", _pysdtw), ("tslearn", _tslearn), ("ddtw", _ddtw)):
        if name in leave_out:
            continue
        needed = 4 * _EXPANSION.get(name, 0) * _largest(problem, name) * problem.x.shape[2]
        if find_spec(name) is None:
            missing[name] = "not installed; pip install 'espnet-plugins-ssl-enh[bench]'"
        elif needed > 0.8 * _available(problem.x.device):
            missing[name] = f"needs about {needed / 1e9:.0f} GB"
        elif name == "ddtw" and problem.x.device.type == "cuda" and not _has_cuda_toolkit():
            missing[name] = "compiles its kernels on first use, which needs a CUDA toolkit with nvcc; none found"
        else:
            systems[name] = make(problem)
    return systems, missing


def make_ours(problem: Problem, function: Callable[..., torch.Tensor] = soft_dtw) -> Callable[[], torch.Tensor]:
    """This package, or the same function of it at another commit."""
    lengths = problem.lengths or ()
    return lambda: _finished(problem, function(problem.x, problem.y, *lengths, gamma=problem.gamma))


def make_recursion(problem: Problem) -> Callable[[], None]:
    """Soft-DTW of given cost matrices, forward and backward, without the distance."""
    cost = torch.cdist(problem.x.detach(), problem.y.detach()).square_().requires_grad_()

    def step() -> None:
        soft_dtw_from_cost(cost, *(problem.lengths or ()), gamma=problem.gamma).sum().backward()
        cost.grad = None

    return step


def make_uniform(problem: Problem) -> list[Callable[[], torch.Tensor]]:
    """For each pair of a mixed batch, a full batch of as many copies of it, without padding."""
    copies = len(problem.x)
    batches = []
    for pair, (n, m) in enumerate(problem.pairs):
        x, y = (
            side.detach()[pair, :length].repeat(copies, 1, 1).requires_grad_(side.requires_grad)
            for side, length in ((problem.x, n), (problem.y, m))
        )
        batches.append(make_ours(Problem(f"{problem.name}[{pair}]", x, y, None, problem.gamma)))
    return batches


def _finished(problem: Problem, value: torch.Tensor) -> torch.Tensor:
    value.sum().backward()
    problem.x.grad = problem.y.grad = None
    return value.detach()


def _floor(problem: Problem) -> Callable[[], None]:
    x, y = problem.x.detach(), problem.y.detach()
    slope = torch.rand(len(x), x.shape[1], y.shape[1], device=x.device)

    def batched() -> None:
        torch.bmm(x, y.mT)
        torch.bmm(slope, y)
        if problem.y.requires_grad:
            torch.bmm(slope.mT, x)

    def one_by_one() -> None:
        for pair, (n, m) in enumerate(problem.pairs):
            a, b, e = x[pair, :n], y[pair, :m], slope[pair, :n, :m]
            torch.mm(a, b.mT)
            torch.mm(e, b)
            if problem.y.requires_grad:
                torch.mm(e.mT, a)

    return one_by_one if problem.lengths else batched


def _pysdtw(problem: Problem) -> Callable[[], torch.Tensor]:
    import pysdtw

    function = pysdtw.SoftDTW(gamma=problem.gamma, use_cuda=problem.x.device.type == "cuda")

    def step() -> torch.Tensor:
        sides = [problem.x, problem.y]
        if problem.lengths:
            sides = [
                pack_padded_sequence(side, torch.tensor(length), batch_first=True, enforce_sorted=False)
                for side, length in zip(sides, problem.lengths, strict=True)
            ]
        return _finished(problem, function(*sides))

    return step


def _tslearn(problem: Problem) -> Callable[[], torch.Tensor]:
    from tslearn.metrics import SoftDTWLossPyTorch

    function = SoftDTWLossPyTorch(gamma=problem.gamma)

    def step() -> torch.Tensor:
        if problem.lengths is None:
            return _finished(problem, function(problem.x, problem.y))
        # It knows no lengths: pair by pair, as its users do.
        values = [
            _finished(problem, function(problem.x[k : k + 1, :n], problem.y[k : k + 1, :m]))
            for k, (n, m) in enumerate(problem.pairs)
        ]
        return torch.cat(values)

    return step


def _ddtw(problem: Problem) -> Callable[[], torch.Tensor]:
    from ddtw import SDTW

    backend = "cuda_cpp" if problem.x.device.type == "cuda" else "cpu_numba"
    function = SDTW(gamma=problem.gamma, normalization="none", backend=backend)
    n, m = problem.lengths or (None, None)
    # It returns the mean over the batch alone.
    return lambda: _finished(problem, len(problem.x) * function(problem.x, problem.y, list_N=n, list_M=m))


def _largest(problem: Problem, name: str) -> int:
    """Cells that a system holds at a time."""
    if name == "tslearn" and problem.lengths:
        return max(n * m for n, m in problem.pairs)
    return problem.padded_cells


def _has_cuda_toolkit() -> bool:
    from torch.utils.cpp_extension import CUDA_HOME

    return CUDA_HOME is not None


def _available(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with open("/proc/meminfo", encoding="ascii") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
