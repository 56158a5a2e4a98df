"""What a graph is made of: a network on one waveform, its inputs, and what its user has to know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.onnx.operators import shape_as_tensor


class Whole(nn.Module):
    """A front-end on a whole utterance, as :class:`~espnet_plugins.inference.Enhancer` applies it.

    Args:
        network: From (1, T) to (S, T), for S speakers; it may assume `shortest` samples.
        shortest: Up to how many samples a shorter waveform is filled with zeros.
        normalize_variance: Divide by the standard deviation, and multiply the estimates by it.
    """

    def __init__(self, network: nn.Module, *, shortest: int, normalize_variance: bool):
        super().__init__()
        self.network, self.shortest, self.normalize_variance = network, shortest, normalize_variance

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """(1, T) to (S, T)."""
        n_samples = count(waveform, 1)
        x = fill_up(waveform, n_samples.clamp(min=self.shortest), self.shortest)
        if not self.normalize_variance:
            return self.network(x)[:, :n_samples]
        scale = x.std(dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny ** 0.5)
        return scale * self.network(x / scale)[:, :n_samples]


def count(x: torch.Tensor, dim: int) -> torch.Tensor:
    """A size as an integer tensor (), which a graph computes anew for every input.

    Example:
        >>> count(torch.zeros(2, 7), 1)
        tensor(7)
    """
    return shape_as_tensor(x)[dim]


def fill_up(x: torch.Tensor, n_samples: torch.Tensor, most: int) -> torch.Tensor:
    """Zeros behind (B, T), up to `n_samples`; at most `most` of them, which is a constant of the graph.

    Example:
        >>> fill_up(torch.ones(1, 2), torch.tensor(4), 8)
        tensor([[1., 1., 0., 0.]])
    """
    return torch.cat([x, x.new_zeros(len(x), most)], dim=1)[:, :n_samples]


class Step(nn.Module, ABC):
    """One step of a stream: a block of samples and the state before it give an estimate and the state behind it.

    The first block has `first_block` samples, each other one `hop_length`, or any multiple more in both.

    Attributes:
        hop_length: Samples from step to step.
        first_block: Samples without which nothing can be computed.
        mirror: Samples that the waveform is to be mirrored by at both ends, the mirrored ones at the start given back
            as estimate; 0 for a waveform that is fed as it is.
        ending: What ends the stream; "mirror": the mirrored samples, and zeros up to a whole hop; "last": what is left,
            with `last` set to 1; "tail": the state `tail` holds the last samples. More samples than came in are
            dropped, missing ones are zero.
        level: Whether the deviation of the utterance is an input.
    """

    hop_length: int
    first_block: int
    mirror = 0
    ending: str
    level = False

    @abstractmethod
    def states(self) -> dict[str, torch.Tensor]:
        """The state before the first sample."""

    @abstractmethod
    def growing(self) -> dict[str, int]:
        """States that grow in the first steps, and along which axis."""


@dataclass(frozen=True)
class Form:
    """A graph to be written.

    Args:
        network: Called with the inputs in their order; gives a tensor, or a list of them.
        inputs: Names and examples of the inputs.
        outputs: Names of the outputs.
        dynamic: Names of inputs and outputs, and of their axes whose size is free.
        trials: Inputs that the written graph is tried with: what is not given is the example's, or what the output
            `next_NAME` of the trial before was.
        facts: What a user has to know.
    """

    network: nn.Module
    inputs: dict[str, torch.Tensor]
    outputs: list[str]
    dynamic: dict[str, dict[int, str]]
    trials: list[dict[str, torch.Tensor]]
    facts: dict[str, Any] = field(default_factory=dict)

    def run(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the network gives for inputs by name."""
        with torch.no_grad():
            given = self.network(*(inputs[name] for name in self.inputs))
        results = [given] if isinstance(given, torch.Tensor) else list(given)
        return dict(zip(self.outputs, results, strict=True))


def _noise(n_samples: int, seed: int) -> torch.Tensor:
    return 0.1 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(seed))


def whole_form(network: Whole, facts: Mapping[str, Any]) -> Form:
    """A graph of a whole utterance, (1, T) to (S, T) for any T."""
    lengths = (1, network.shortest, network.shortest + 1, 2 * network.shortest + 7, 16000)
    return Form(
        network,
        {"waveform": _noise(4567, 0)},
        ["enhanced"],
        {"waveform": {1: "samples"}, "enhanced": {1: "samples"}},
        [{"waveform": _noise(n_samples, k)} for k, n_samples in enumerate(lengths, 1)],
        {**facts, "form": "whole"},
    )


def stream_form(step: Step, facts: Mapping[str, Any]) -> Form:
    """A graph of one step of a stream."""
    states, hop_length = step.states(), step.hop_length
    inputs = {"block": _noise(step.first_block + 2 * hop_length, 0)}
    if step.level:
        inputs["level"] = torch.tensor([0.1])
    if step.ending == "last":
        inputs["last"] = torch.tensor([0])
    outputs = ["enhanced", *(f"next_{name}" for name in states)]
    dynamic = {"block": {1: "samples"}, "enhanced": {1: "enhanced_samples"}}
    for name, axis in step.growing().items():
        dynamic |= {name: {axis: f"{name}_known"}, f"next_{name}": {axis: f"next_{name}_known"}}
    sizes = (step.first_block, hop_length, 3 * hop_length, *[hop_length] * 4)
    trials = [{"block": _noise(n_samples, k)} for k, n_samples in enumerate(sizes, 1)]
    trials[0] |= states
    if step.level:
        trials[1] |= {"level": torch.tensor([0.2])}
    if step.ending == "last":
        trials.append({"block": _noise(hop_length // 2 + 1, 9), "last": torch.tensor([1])})
    facts = {
        **facts,
        "form": "stream",
        "first_block": step.first_block,
        "mirror": step.mirror,
        "ending": step.ending,
        "states": [{"name": name, "shape": list(value.shape)} for name, value in states.items()],
    }
    form = Form(step, {**inputs, **states}, outputs, dynamic, trials, facts)
    # An example in the middle of a stream, where no state is empty.
    middle = form.run(form.inputs)
    return Form(
        step,
        {**inputs, "block": _noise(2 * hop_length, 8), **{name: middle[f"next_{name}"] for name in states}},
        outputs,
        dynamic,
        trials,
        facts,
    )
