"""The one interface to every SSL model: (waveform, lengths) -> (frames, frame lengths)."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import torch

from espnet_plugins.ssl.backbone import Backbone
from espnet_plugins.ssl.passes import hidden_states
from espnet_plugins.ssl.sources import describe_upstream
from espnet_plugins.ssl.spec import FormerNames, resolve_layers

Layers = int | Sequence[int] | str


class Upstream(FormerNames, torch.nn.Module):
    """Frozen SSL model behind one interface; see :func:`build_upstream`.

    It has no parameters, buffers or submodules of its own: registered or not, it adds nothing to a state
    dict, an optimizer or DDP. The weights live in ``backbone`` and follow the device of the input.

    Args:
        backbone: the frozen model.
        layers: default of :meth:`forward`.

    Raises:
        ValueError: for a layer that the model does not have.
    """

    def __init__(self, backbone: Backbone, layers: Layers = -1) -> None:
        super().__init__()
        self.train(False)
        resolve_layers(layers, backbone.spec.n_layers)
        self.backbone = backbone
        self.layers = layers
        self.name = backbone.spec.name
        self.hop_length = backbone.spec.hop_length
        self.receptive_field = backbone.spec.receptive_field
        self.feature_dim = backbone.spec.feature_dim
        self.n_layers = backbone.spec.n_layers
        self.sample_rate = backbone.spec.sample_rate
        # Samples of the longest utterance it takes; None for any.
        self.longest = backbone.spec.longest

    def train(self, mode: bool = True) -> Upstream:
        """Stay in evaluation mode."""
        return super().train(False)

    def extra_repr(self) -> str:
        """Name and default layers, for printing."""
        return f"{self.name}, layers={self.layers!r}"

    def frame_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Number of frames of utterances of ``lengths`` samples, same shape, long."""
        frames = torch.as_tensor(lengths)
        for kernel, stride in self.backbone.spec.convolutions:
            frames = (torch.div(frames - kernel, stride, rounding_mode="floor") + 1).clamp(min=0)
        return frames

    def forward(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None = None, *, layers: Layers | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute hidden states in float32; gradients reach ``waveform`` only.

        Args:
            waveform: (B, T) at ``sample_rate``.
            lengths: (B,) samples of each utterance; all T where left out.
            layers: one index, several or "all", numbered as in
                :func:`~espnet_plugins.ssl.spec.resolve_layers`; the constructor's where left out.

        Returns:
            Frames (B, N, D) for one index, (L, B, N, D) otherwise, zero behind each utterance's end and equal
            to what the utterance gives alone; frame lengths (B,).

        Raises:
            ValueError: for wrong shapes, or an utterance too short for one frame or longer than the model takes,
                naming its row.
        """
        indices, single = resolve_layers(self.layers if layers is None else layers, self.n_layers)
        states, frame_lengths = hidden_states(self.backbone, waveform, lengths, indices)
        return (states[0] if single else torch.stack(states)), frame_lengths

    def all_layers(
        self, waveform: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Every hidden state, (n_layers + 1, B, N, D), and the frame lengths (B,)."""
        return self(waveform, lengths, layers="all")


def build_upstream(
    model: str = "hubert_base",
    *,
    checkpoint: str | PathLike[str] | None = None,
    pretrained: bool = True,
    context: str | None = None,
    layers: Layers = -1,
) -> Upstream:
    """Build a frozen SSL model.

    Args:
        model: a torchaudio bundle in lower case ("hubert_base", "hubert_large", "wavlm_base",
            "wavlm_base_plus", "wavlm_large", "wav2vec2_base", ...), "local", "huggingface", a published Whisper
            ("whisper_tiny", "whisper_base.en", ...), "whisper", or a name given to
            :func:`~espnet_plugins.ssl.register_upstream`.
        checkpoint: for a bundle, its weight file or the folder that holds it or shall receive it (torch hub's
            cache where left out); for "local", a file of :func:`~espnet_plugins.ssl.save_upstream`; for
            "huggingface", a model directory; for a Whisper, OpenAI's file, CTranslate2's or a Hugging Face directory.
        pretrained: False gives the bundle's real configuration with random weights, the same in each process.
        context: of Whisper: "utterance" (default) or "window", 30 s with zeros behind the utterance.
        layers: default layers of a call: an index, a list, or "all".

    Returns:
        The upstream; its weights are read on the first call.

    Raises:
        ValueError: for an unknown model, a wrong layer or a file of another format.
        FileNotFoundError: for a checkpoint that is not there.

    Example:
        >>> upstream = build_upstream("hubert_base", pretrained=False, layers=[0, -1])
        >>> upstream.hop_length, upstream.receptive_field, upstream.feature_dim, upstream.n_layers
        (320, 400, 768, 12)
    """
    spec = describe_upstream(model, checkpoint=checkpoint, pretrained=pretrained, context=context)
    return Upstream(Backbone(spec), layers)
