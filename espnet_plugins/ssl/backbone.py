"""A frozen model that is built when it is first needed."""

from __future__ import annotations

from copy import deepcopy
from threading import Lock
from typing import Any

import torch

from espnet_plugins.ssl.spec import UpstreamSpec


class Backbone:
    """The weights of one upstream, in evaluation mode and without parameter gradients.

    It is no ``nn.Module`` on purpose: whoever holds it, no parameter of it can reach a state dict, an
    optimizer, DDP or an initializer, and nothing can put it into training mode.

    Args:
        spec: what to build.
    """

    def __init__(self, spec: UpstreamSpec) -> None:
        self.spec = spec
        self._models: dict[torch.device, Any] = {}
        self._lock = Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> Backbone:
        return self  # frozen, so that a copied model can go on sharing it

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return bool(self._models)

    def model(self, device: torch.device) -> Any:
        """Give the model on ``device``: built for the first device asked for, copied to any further one."""
        # Whoever comes first may only infer, another may train through the same weights afterwards.
        with self._lock, torch.inference_mode(False):
            if device not in self._models:
                copied = deepcopy(next(iter(self._models.values()))) if self._models else self._build()
                self._models[device] = copied.to(device)
            return self._models[device]

    def _build(self) -> torch.nn.Module:
        # Building draws random numbers: the caller's sequence must not depend on it, and random weights must be
        # the same in every process.
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(0)
            return self.spec.build().eval().requires_grad_(False)
