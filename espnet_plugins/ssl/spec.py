"""What is known about an upstream before its weights are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from torch.nn import Module

from espnet_plugins.checks import renamed_attribute


class FormerNames:
    """Names of before, kept for a release."""

    @property
    def hop(self) -> int:
        """The older name of `hop_length`, kept for a release."""
        return renamed_attribute(self, "hop", "hop_length")

    @property
    def dim(self) -> int:
        """The older name of `feature_dim`, kept for a release."""
        return renamed_attribute(self, "dim", "feature_dim")


@dataclass(frozen=True)
class UpstreamSpec(FormerNames):
    """Description of one upstream: enough to check a configuration, cheap to make.

    The module that ``build`` makes has three methods, called in evaluation mode with float32 tensors:
    ``extract(waveform (B, T)) -> (B, N, F)`` for utterances of one length, ``embed(features, padding) ->
    hidden state 0 (B, N, D)``, and ``block(index, hidden, padding, carry) -> (hidden state index + 1, carry)``.
    ``padding`` (B, N) is True behind an utterance's end, or None; ``carry`` starts as None. It may have a fourth,
    ``code(count) -> (count, D)``: what is added to hidden state 0, whatever the utterance.

    Args:
        name: what error messages call it.
        feature_dim: features per frame.
        n_layers: transformer blocks.
        convolutions: (kernel, stride) of each convolution of the extractor, in order.
        normalize_waveform: whether it was trained on waveforms of zero mean and unit variance.
        sample_rate: samples per second it was trained at.
        build: makes the module with its weights; called once, on first use.
        longest: samples of the longest utterance it takes; None for any.
        whole_context: ``extract`` gives more frames than the utterance has, and its blocks attend to all of them
            (Whisper's window of 30 s); ``padding`` is None then, and the surplus is cut off at the end.
        all_at_once: ``extract`` gives all hidden states (B, N, n_layers + 1, D); the other two methods are not needed.

    Example:
        >>> spec = UpstreamSpec("tiny", 16, 2, ((10, 5), (3, 2)), False, 16000, build=lambda: None)
        >>> spec.hop_length, spec.receptive_field
        (10, 20)
    """

    name: str
    feature_dim: int
    n_layers: int
    convolutions: tuple[tuple[int, int], ...]
    normalize_waveform: bool
    sample_rate: int
    build: Callable[[], Module]
    longest: int | None = None
    whole_context: bool = False
    all_at_once: bool = False

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return prod(stride for _, stride in self.convolutions)

    @property
    def receptive_field(self) -> int:
        """Samples that the first frame sees; shorter utterances have no frame."""
        field = 1
        for kernel, stride in reversed(self.convolutions):
            field = (field - 1) * stride + kernel
        return field

    def frames_of(self, samples: int) -> int:
        """Number of frames of an utterance of ``samples`` samples."""
        for kernel, stride in self.convolutions:
            samples = max((samples - kernel) // stride + 1, 0)
        return samples


def resolve_layers(layers: int | str | Sequence[int], n_layers: int) -> tuple[tuple[int, ...], bool]:
    """Turn a layer option into hidden-state indices.

    Index 0 is the input of the first transformer block (projection, positional embedding and, in the Base
    models, layer norm), index i the output of block i: the numbering of s3prl's and of transformers'
    ``hidden_states``. torchaudio's ``extract_features`` leaves index 0 out.

    Args:
        layers: one index, several, or "all"; negative ones count from the last block (-1).
        n_layers: transformer blocks of the upstream.

    Returns:
        The indices in 0..n_layers, and whether exactly one was asked for by a plain number.

    Raises:
        ValueError: for an index out of range or anything else, naming what is accepted.

    Example:
        >>> resolve_layers(-1, 12), resolve_layers([0, -2], 12)
        (((12,), True), ((0, 11), False))
    """
    accepted = f"0..{n_layers}, -{n_layers + 1}..-1, a list of these, or 'all'"
    if isinstance(layers, str):
        if layers != "all":
            raise ValueError(f"layers={layers!r}: accepted are {accepted}")
        return tuple(range(n_layers + 1)), False
    single = isinstance(layers, int)
    asked = [layers] if isinstance(layers, int) else list(layers)
    if not asked:
        raise ValueError(f"layers is empty: accepted are {accepted}")
    for index in asked:
        if isinstance(index, bool) or not isinstance(index, int) or not -n_layers - 1 <= index <= n_layers:
            raise ValueError(f"layers={layers!r}: {index!r} is out of range, accepted are {accepted}")
    return tuple(index % (n_layers + 1) for index in asked), single
