"""Mimic loss: what a frozen recognizer makes of the estimate against what it makes of the reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from espnet_plugins.checks import check_choice, check_mapping
from espnet_plugins.objectives.base import FrameCriterion, FrameOptions
from espnet_plugins.objectives.recognizer import OUTPUTS, FrozenRecognizer

DISTANCES = ("l1", "l2")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MimicOptions(FrameOptions):
    """Options of :class:`Mimic`, besides those of :class:`~espnet_plugins.objectives.base.FrameOptions`.

    Args:
        recognizer: ``weights`` and ``config`` of a finished training of an ESPnet recognizer.
        output: "encoder" or "logits".
        distance: "l1" (absolute values) or "l2" (squares).
    """

    recognizer: Mapping[str, Any] | None = None
    output: str = "encoder"
    distance: str = "l1"


class Mimic(FrameCriterion):
    """Mean over frames and dimensions of |e_ik - e'_ik| (or its square), e being a recognizer's frames.

    The recognizer was trained on clean speech and is frozen; it is asked for the frames of its encoder, or for its
    outputs before the softmax.

    Source: Bagchi, Plantinga, Stiff and Fosler-Lussier, "Spectral feature mapping with mimic loss for robust speech
    recognition", ICASSP 2018 (squared distance of the outputs); as a baseline in SpeechBrain (Ravanelli et al.,
    arXiv 2106.04624): absolute distance of the encoder's frames.

    Args:
        options: fields of :class:`MimicOptions`.

    Raises:
        ValueError: for an option that is not accepted.
        FileNotFoundError: for a file of the recognizer that is not there.

    Example:
        >>> Mimic(recognizer={"weights": "gone.pth"})
        Traceback (most recent call last):
        FileNotFoundError: recognizer: gone.pth: no such file; train the recognizer first
    """

    default_name = "mimic"

    Options: ClassVar[type[FrameOptions]] = MimicOptions
    former_keys: ClassVar[Mapping[str, str]] = {"recogniser": "recognizer"}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        given: MimicOptions = self.options
        files = check_mapping(f"{self.default_name}: recognizer", given.recognizer, ("config", "weights"))
        if "weights" not in files:
            raise ValueError(f"{self.default_name}: recognizer: give the file of its weights under the key weights")
        self.recognizer = FrozenRecognizer(**files)
        self.output = check_choice(f"{self.default_name}: output", given.output, OUTPUTS)
        self.kind = check_choice(f"{self.default_name}: distance", given.distance, DISTANCES)

    def model_frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The recognizer's frames."""
        return self.recognizer(waveform, lengths, output=self.output)

    def distance(
        self,
        estimate: torch.Tensor,
        reference: torch.Tensor,
        estimate_lengths: torch.Tensor,
        reference_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Compare frames of equal index."""
        difference = estimate - reference
        values = difference.abs() if self.kind == "l1" else difference.square()
        return values.mean(2).sum(1) / estimate_lengths
