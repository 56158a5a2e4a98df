"""A recognizer that was trained on clean speech, frozen, as a model whose frames can be compared."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import yaml

from espnet_plugins.recurrent import accept_any_order, drop_in_training_only
from espnet_plugins.weights import load_weights, read_weights

OUTPUTS = ("encoder", "logits")


class FrozenRecognizer:
    """An ESPnet recognizer of a finished training; built when first called, so that decoding never builds it.

    It is no nn.Module, so that nothing of it is in a state dict or an optimizer.

    Args:
        weights: Its file of weights.
        config: Its config.yaml; where left out, the one beside the weights.

    Raises:
        FileNotFoundError: For a file that is not there.
    """

    def __init__(self, weights: str, config: str | None = None) -> None:
        self.weights = Path(weights)
        self.config = self.weights.parent / "config.yaml" if config is None else Path(config)
        for path in (self.weights, self.config):
            if not path.is_file():
                raise FileNotFoundError(f"recognizer: {path}: no such file; train the recognizer first")
        self._model: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenRecognizer:
        return self

    def model(self, device: torch.device) -> Any:
        """The recognizer on a device, in evaluation mode, without gradients of its own.

        Raises:
            ValueError: When the weights do not fit the configuration, or it has no CTC layer.
        """
        if self._model is None:
            # A resumed training builds it at another point: its random numbers must not depend on that. And weights
            # made in inference mode could not be differentiated through later.
            with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
                self._model = self._build()
        return self._model.to(device)

    def _build(self) -> Any:
        from espnet2.tasks.asr import ASRTask

        settings = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        model = ASRTask.build_model(argparse.Namespace(**settings))
        load_weights(model, read_weights(self.weights), where=str(self.weights))
        if getattr(model, "ctc", None) is None:
            raise ValueError(f"{self.config}: the recognizer has no CTC layer, whose input is compared")
        model.encoder = accept_any_order(model.encoder)
        drop_in_training_only(model).eval().requires_grad_(False)
        for module in model.modules():
            if isinstance(module, torch.nn.RNNBase):
                # cuDNN differentiates recurrent layers in training mode alone; without dropout both are the same.
                module.train().dropout = 0.0
        return model

    def __call__(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None, *, output: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute frames.

        Args:
            waveform: (B, T).
            lengths: (B,) samples, T where left out.
            output: One of OUTPUTS: the encoder's output, or the CTC layer's before its softmax.

        Returns:
            Frames (B, N, D), zero behind each utterance's end, and their lengths (B,).
        """
        model = self.model(waveform.device)
        if lengths is None:
            lengths = torch.full((len(waveform),), waveform.shape[1], device=waveform.device)
        frames, frame_lengths = model.encode(waveform, lengths)
        frames = frames[0] if isinstance(frames, tuple) else frames
        if output == "logits":
            frames = model.ctc.ctc_lo(frames)
        frame_lengths = frame_lengths.to(frames.device)
        behind = torch.arange(frames.shape[1], device=frames.device) >= frame_lengths[:, None]
        return frames.masked_fill(behind[..., None], 0.0), frame_lengths
