"""What the representation-guided criteria share: options, frozen model, frames.

A criterion is made of three parts: the frames that a frozen model gives of the estimate, those that it gives of the
clean reference (as it is, or perturbed), and a distance between the two, which is a function of frames alone.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from espnet2.enh.loss.criterions.time_domain import TimeDomainLoss
from torch.nn.functional import normalize

from espnet_plugins.checks import check_choice, check_keys, check_mapping, renamed_keys
from espnet_plugins.objectives.reference_cache import ReferenceCache
from espnet_plugins.objectives.temporal import TemporalRegularizer
from espnet_plugins.objectives.without_position import without_position
from espnet_plugins.ssl import UPSTREAM_OPTIONS, Upstream, get_shared_upstream
from espnet_plugins.ssl.spec import resolve_layers


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrameOptions:
    """Options of every criterion on frames.

    Args:
        name: Key in ESPnet's log; unique among the criteria of one model. None for the criterion's own.
        normalize_frames: L2-normalize each frame.
        temporal: Options of :class:`~espnet_plugins.objectives.temporal.TemporalRegularizer`, added for the
            estimate's frames; None for none.
        only_for_test: Compute in validation only.
    """

    name: str | None = None
    normalize_frames: bool = False
    temporal: Mapping[str, Any] | None = None
    only_for_test: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSLOptions(FrameOptions):
    """Options of every criterion on frames of an upstream, besides those of :class:`FrameOptions`.

    Args:
        upstream: ``model``, ``checkpoint``, ``pretrained`` and ``context`` of
            :func:`~espnet_plugins.ssl.build_upstream`; HuBERT Base where left out.
        layer: Hidden state to compare, 0..n_layers or negative from the end (-1: the last); of a list, the value is
            the mean over its layers, and every layer meets the same perturbation.
        sample_rate: Of the waveforms; the upstream's must be the same.
        remove_position: Take off what the frames of all utterances have in common at an index, before frames are
            normalized and compared: True, or the options of
            :func:`~espnet_plugins.objectives.without_position.without_position`.
        reference_cache: Keep the frames of references that come again, sample for sample, within some ``memory``:
            ``{memory: 2GB}``; see :class:`~espnet_plugins.objectives.reference_cache.ReferenceCache`. None for none.
    """

    upstream: Mapping[str, Any] | None = None
    layer: int | Sequence[int] = -1
    sample_rate: int = 16000
    remove_position: bool | Mapping[str, Any] = False
    reference_cache: Mapping[str, Any] | None = None


class FrameCriterion(TimeDomainLoss):
    """A distance between frames that a frozen model makes of the clean reference and of the estimate.

    A subclass gives ``default_name``, :meth:`model_frames` and :meth:`distance`; :meth:`reference_frames` where the
    reference is perturbed; ``Options`` where it has some of its own.

    Args:
        options: Fields of ``Options``.

    Raises:
        ValueError: For an unknown key or a value that is not accepted, naming both.
    """

    default_name = ""
    Options: ClassVar[type[FrameOptions]] = FrameOptions
    # Older name of an option -> its name.
    former_keys: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **options: Any) -> None:
        options = renamed_keys(self.default_name, options, self.former_keys)
        check_keys(self.default_name, options, self.accepted_keys())
        given = self.Options(**options)
        super().__init__(given.name or self.default_name, only_for_test=given.only_for_test)
        key = self.default_name
        self.options: Any = given
        self.normalize_frames = check_choice(f"{key}: normalize_frames", given.normalize_frames, (True, False))
        self.temporal = TemporalRegularizer.from_options(f"{key}: temporal", given.temporal)
        # Of several layers, the rows of one stand behind those of the other.
        self.layers: tuple[int, ...] = (0,)
        self.stats: dict[str, torch.Tensor] = {}

    @classmethod
    def accepted_keys(cls) -> list[str]:
        """Names of all options."""
        return [field.name for field in dataclasses.fields(cls.Options)]

    def forward(self, ref: torch.Tensor, inf: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Compute the criterion of each utterance, in float32 whatever autocast says.

        Args:
            ref: Clean references (B, T).
            inf: Estimates (B, T); gradients reach these alone.
            lengths: (B,) samples of each utterance; T where left out.

        Returns:
            (B,) losses. ``stats`` holds (B,) diagnostics.

        Raises:
            ValueError: For shapes that differ, or an utterance too short for one frame.
        """
        if ref.shape != inf.shape:
            raise ValueError(f"{self.name}: reference {list(ref.shape)} and estimate {list(inf.shape)} differ in shape")
        self.stats = {}
        with torch.autocast(inf.device.type, enabled=False):
            estimate, estimate_lengths = self.frames(inf, lengths)
            reference, reference_lengths = self.reference_frames(ref.detach(), lengths)
            loss = self.distance(estimate, reference, estimate_lengths, reference_lengths)
            if self.temporal is not None:
                regularizer = self.temporal(estimate, estimate_lengths)
                self.stats[f"{self.name}_temporal"] = regularizer.detach()
                loss = loss + self.temporal.weight * regularizer
        return self._mean_over_layers(loss) if len(self.layers) > 1 else loss

    def frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames (B, N, D) to compare, zero behind each utterance's end, and their lengths (B,)."""
        frames, frame_lengths = self.model_frames(waveform, lengths)
        return (normalize(frames, dim=-1) if self.normalize_frames else frames), frame_lengths

    def reference_frames(
        self, reference: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames (B, M, D) of the reference, and their lengths (B,); a subclass perturbs the reference here.

        Args:
            reference: Waveforms (B, T), without a graph. What is drawn at random depends on whether gradients are
                enabled (:func:`~espnet_plugins.objectives.draws.utterance_generators`): draw first, then disable them.
            lengths: (B,) samples, or None.
        """
        with torch.no_grad():
            return self.frozen_frames(reference, lengths)

    def frozen_frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`frames`, without a graph, where a subclass may keep them for the next time."""
        return self.frames(waveform, lengths)

    @abstractmethod
    def model_frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The frozen model's frames (B, N, D), zero behind each utterance's end, and their lengths (B,)."""
        raise NotImplementedError

    @abstractmethod
    def distance(
        self,
        estimate: torch.Tensor,
        reference: torch.Tensor,
        estimate_lengths: torch.Tensor,
        reference_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Compare frames with frames; diagnostics may go into ``stats``.

        Args:
            estimate: (B, N, D), with a graph.
            reference: (B, M, D), without.
            estimate_lengths: (B,) frames; those beyond are zero and must not matter.
            reference_lengths: (B,) likewise.

        Returns:
            (B,) distances.
        """
        raise NotImplementedError

    def _mean_over_layers(self, losses: torch.Tensor) -> torch.Tensor:
        """(B,) of the (layers * B,) losses; each layer's values and the mean of every diagnostic go into stats."""
        by_layer = losses.view(len(self.layers), -1)
        self.stats = {name: value.view_as(by_layer).mean(0) for name, value in self.stats.items()}
        for layer, values in zip(self.layers, by_layer.detach(), strict=True):
            self.stats[f"{self.name}_layer{layer}"] = values
        return by_layer.mean(0)


class SSLCriterion(FrameCriterion):
    """A distance between frames of a frozen upstream.

    A subclass gives ``default_name`` and :meth:`distance`, the rest as in :class:`FrameCriterion`.

    Args:
        options: Fields of :class:`SSLOptions`, or of a subclass's ``Options``.

    Raises:
        ValueError: For an unknown key or a value that is not accepted, naming both.
        FileNotFoundError: For a missing checkpoint.
    """

    Options: ClassVar[type[FrameOptions]] = SSLOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        given: SSLOptions = self.options
        model = check_mapping(f"{self.default_name}: upstream", given.upstream, UPSTREAM_OPTIONS)
        self.upstream: Upstream = get_shared_upstream(**model)
        if self.upstream.sample_rate != given.sample_rate:
            raise ValueError(
                f"{self.default_name}: upstream: {self.upstream.name} takes {self.upstream.sample_rate} Hz, but "
                f"sample_rate is {given.sample_rate}; choose an upstream of the data's rate"
            )
        self.upstream = without_position(
            self.default_name, self.upstream, given.remove_position, unit_length=self.normalize_frames
        )
        self.layers = self._chosen_layers(given.layer)
        self.cache = ReferenceCache.from_options(f"{self.default_name}: reference_cache", given.reference_cache)

    def frozen_frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`frames`, without a graph; from the cache where there is one."""
        if self.cache is None:
            return self.frames(waveform, lengths)
        return self.cache(waveform, lengths, self.frames)

    def _chosen_layers(self, layer: Any) -> tuple[int, ...]:
        if not isinstance(layer, (int, list, tuple)):
            raise ValueError(
                f"{self.default_name}: layer: {layer!r} is not accepted; give one whole number or a list of them"
            )
        try:
            layers, _ = resolve_layers(layer, self.upstream.n_layers)
        except ValueError as error:
            raise ValueError(f"{self.default_name}: layer: {error}") from error
        if len(set(layers)) < len(layers):
            raise ValueError(f"{self.default_name}: layer: {layer!r} holds a layer twice; give each once")
        return layers

    def model_frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
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
