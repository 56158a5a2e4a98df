"""What the representation-guided criteria share: options, upstream, frames."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from espnet2.enh.loss.criterions.time_domain import TimeDomainLoss
from torch.nn.functional import normalize

from espnet_plugins.checks import check_choice, check_keys, check_mapping
from espnet_plugins.objectives.temporal import TemporalRegulariser
from espnet_plugins.ssl import UPSTREAM_OPTIONS, Upstream, get_shared_upstream
from espnet_plugins.ssl.spec import resolve_layers


class FrameCriterion(TimeDomainLoss):
    """A distance between frames that a frozen model makes of the clean reference and of the estimate.

    Args:
        name: key in ESPnet's log; unique among the criteria of one model.
        normalize_frames: divide each frame by its Euclidean length.
        temporal: options of :class:`~espnet_plugins.objectives.temporal.TemporalRegulariser`, added for the
            estimate's frames; None for none.
        only_for_test: compute in validation only.

    Raises:
        ValueError: for an unknown key or a value that is not accepted, naming both.
    """

    default_name = ""

    def __init__(
        self,
        *,
        name: str | None = None,
        normalize_frames: bool = False,
        temporal: Mapping[str, Any] | None = None,
        only_for_test: bool = False,
        **unknown: Any,
    ) -> None:
        super().__init__(name or self.default_name, only_for_test=only_for_test)
        check_keys(self.default_name, unknown, self.accepted_keys())
        self.normalize_frames = check_choice(f"{self.default_name}: normalize_frames", normalize_frames, (True, False))
        self.temporal = TemporalRegulariser.from_options(f"{self.default_name}: temporal", temporal)
        self.stats: dict[str, torch.Tensor] = {}

    @classmethod
    def accepted_keys(cls) -> set[str]:
        """Names of all options, those of the base class included."""
        return {
            parameter.name
            for ancestor in cls.__mro__
            if issubclass(ancestor, FrameCriterion)
            for parameter in inspect.signature(ancestor.__init__).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

    def forward(self, ref: torch.Tensor, inf: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Compute the objective of each utterance, in float32 whatever autocast says.

        Args:
            ref: clean references (B, T).
            inf: estimates (B, T); gradients reach these alone.
            lengths: (B,) samples of each utterance; T where left out.

        Returns:
            (B,) losses. ``stats`` holds (B,) diagnostics.

        Raises:
            ValueError: for shapes that differ, or an utterance too short for one frame.
        """
        if ref.shape != inf.shape:
            raise ValueError(f"{self.name}: reference {list(ref.shape)} and estimate {list(inf.shape)} differ in shape")
        self.stats = {}
        with torch.autocast(inf.device.type, enabled=False):
            estimate, frame_lengths = self.frames(inf, lengths)
            loss = self.distance(ref, lengths, estimate, frame_lengths)
            if self.temporal is not None:
                regulariser = self.temporal(estimate, frame_lengths)
                self.stats[f"{self.name}_temporal"] = regulariser.detach()
                loss = loss + self.temporal.weight * regulariser
        return loss

    def frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames (B, N, D) to compare, zero behind each utterance's end, and their lengths (B,)."""
        frames, frame_lengths = self.raw_frames(waveform, lengths)
        return (normalize(frames, dim=-1) if self.normalize_frames else frames), frame_lengths

    def target(self, reference: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Frames (B, N, D) of the reference as it is, without a graph."""
        with torch.no_grad():
            return self.frames(reference, lengths)[0]

    @abstractmethod
    def raw_frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The model's frames (B, N, D), zero behind each utterance's end, and their lengths (B,)."""
        raise NotImplementedError

    @abstractmethod
    def distance(
        self,
        reference: torch.Tensor,
        lengths: torch.Tensor | None,
        estimate: torch.Tensor,
        frame_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Compare the estimate's frames with those of the reference.

        Args:
            reference: waveforms (B, T), to be passed without a graph.
            lengths: (B,) samples, or None.
            estimate: frames (B, N, D).
            frame_lengths: (B,).

        Returns:
            (B,) distances.
        """
        raise NotImplementedError


class SSLCriterion(FrameCriterion):
    """A distance between frames of a frozen upstream.

    Args:
        upstream: ``model``, ``checkpoint``, ``pretrained`` and ``context`` of
            :func:`~espnet_plugins.ssl.build_upstream`; HuBERT Base where left out.
        layer: hidden state to compare, 0..n_layers or negative from the end (-1: the last); of a list, the value is
            the mean over its layers, and every layer meets the same perturbation.
        sample_rate: of the waveforms; the upstream's must be the same.
        common: options of :class:`FrameCriterion`.

    Raises:
        ValueError: for an unknown key or a value that is not accepted, naming both.
        FileNotFoundError: for a missing checkpoint.
    """

    def __init__(
        self,
        *,
        upstream: Mapping[str, Any] | None = None,
        layer: int | Sequence[int] = -1,
        sample_rate: int = 16000,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        options = check_mapping(f"{self.default_name}: upstream", upstream, UPSTREAM_OPTIONS)
        self.upstream: Upstream = get_shared_upstream(**options)
        if self.upstream.sample_rate != sample_rate:
            raise ValueError(
                f"{self.default_name}: upstream: {self.upstream.name} takes {self.upstream.sample_rate} Hz, but "
                f"sample_rate is {sample_rate}; choose an upstream of the data's rate"
            )
        if not isinstance(layer, (int, list, tuple)):
            raise ValueError(
                f"{self.default_name}: layer: {layer!r} is not accepted; give one whole number or a list of them"
            )
        try:
            self.layers, _ = resolve_layers(layer, self.upstream.n_layers)
        except ValueError as error:
            raise ValueError(f"{self.default_name}: layer: {error}") from error
        if len(set(self.layers)) < len(self.layers):
            raise ValueError(f"{self.default_name}: layer: {layer!r} holds a layer twice; give each once")

    def forward(self, ref: torch.Tensor, inf: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Compute the objective of each utterance, the mean over layers; see :meth:`FrameCriterion.forward`."""
        losses = super().forward(ref, inf, lengths)
        if len(self.layers) == 1:
            return losses
        by_layer = losses.view(len(self.layers), len(ref))
        self.stats = {name: value.view(len(self.layers), len(ref)).mean(0) for name, value in self.stats.items()}
        for layer, values in zip(self.layers, by_layer.detach(), strict=True):
            self.stats[f"{self.name}_layer{layer}"] = values
        return by_layer.mean(0)

    def raw_frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The upstream's hidden states; of several layers, the rows of one behind those of the other."""
        if len(self.layers) == 1:
            return self.upstream(waveform, lengths, layers=self.layers[0])
        states, frame_lengths = self.upstream(waveform, lengths, layers=self.layers)
        return states.flatten(0, 1), frame_lengths.repeat(len(self.layers))


def mean_squared_distance(estimate: torch.Tensor, reference: torch.Tensor, frame_lengths: torch.Tensor) -> torch.Tensor:
    """Mean over frames of |x_i - y_i|^2, for (B, N, D) that are equal (zero, say) behind the end: (B,)."""
    return (estimate - reference).square().sum((1, 2)) / frame_lengths


def sample_counts(waveform: torch.Tensor, lengths: torch.Tensor | None) -> list[int]:
    """Samples of each utterance as plain numbers."""
    return [waveform.shape[1]] * len(waveform) if lengths is None else lengths.tolist()
