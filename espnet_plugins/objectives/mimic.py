"""Mimic loss: what a frozen recogniser makes of the estimate against what it makes of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from espnet_plugins.checks import check_choice, check_mapping
from espnet_plugins.objectives.base import FrameCriterion
from espnet_plugins.objectives.recogniser import OUTPUTS, FrozenRecogniser

DISTANCES = ("l1", "l2")


class Mimic(FrameCriterion):
    """Mean over frames and dimensions of |e_ik - e'_ik| (or its square), e being a recogniser's frames.

    The recogniser was trained on clean speech and is frozen; it is asked for the frames of its encoder, or for its
    outputs before the softmax.

    Source: Bagchi, Plantinga, Stiff and Fosler-Lussier, "Spectral feature mapping with mimic loss for robust speech
    recognition", ICASSP 2018 (squared distance of the outputs); as a baseline in SpeechBrain (Ravanelli et al.,
    arXiv 2106.04624): absolute distance of the encoder's frames.

    Args:
        recogniser: ``weights`` and ``config`` of a finished training of an ESPnet recogniser.
        output: "encoder" or "logits".
        distance: "l1" (absolute values) or "l2" (squares).
        common: options of :class:`~espnet_plugins.objectives.base.FrameCriterion`.

    Raises:
        ValueError: for an option that is not accepted.
        FileNotFoundError: for a file of the recogniser that is not there.

    Example:
        >>> Mimic(recogniser={"weights": "gone.pth"})
        Traceback (most recent call last):
        FileNotFoundError: recogniser: gone.pth: no such file; train the recogniser first
    """

    default_name = "mimic"

    def __init__(
        self,
        *,
        recogniser: Mapping[str, Any] | None = None,
        output: str = "encoder",
        distance: str = "l1",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        files = check_mapping(f"{self.default_name}: recogniser", recogniser, ("config", "weights"))
        if "weights" not in files:
            raise ValueError(f"{self.default_name}: recogniser: give the file of its weights under the key weights")
        self.recogniser = FrozenRecogniser(**files)
        self.output = check_choice(f"{self.default_name}: output", output, OUTPUTS)
        self.kind = check_choice(f"{self.default_name}: distance", distance, DISTANCES)

    def raw_frames(self, waveform: torch.Tensor, lengths: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The recogniser's frames."""
        return self.recogniser(waveform, lengths, output=self.output)

    def distance(
        self,
        reference: torch.Tensor,
        lengths: torch.Tensor | None,
        estimate: torch.Tensor,
        frame_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Compare frames of equal index."""
        difference = estimate - self.target(reference, lengths)
        values = difference.abs() if self.kind == "l1" else difference.square()
        return values.mean(2).sum(1) / frame_lengths
