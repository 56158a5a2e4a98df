"""A frozen SSL model as the front-end of an ESPnet recognizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from espnet2.asr.frontend.abs_frontend import AbsFrontend

from espnet_plugins.checks import check_keys, check_mapping
from espnet_plugins.ssl import UPSTREAM_OPTIONS, Upstream, get_shared_upstream


class FrozenSSLFrontend(AbsFrontend):
    """Frames of a frozen upstream, one layer or a learned weighted sum of all.

    The upstream itself is no submodule: it adds nothing to the state_dict, the optimizer or the checkpoint.
    The weighted sum follows SUPERB: softmax over one weight per layer, the transformer's input included.

    Args:
        upstream: Arguments of espnet_plugins.ssl.build_upstream: model, checkpoint, pretrained, context; HuBERT
            Base where left out.
        layer: "weighted_sum", or the number of one layer (see build_upstream).
        normalize: Layer-normalize every frame of every layer before the sum, so that layers of different
            scale can be weighed.
        fs: Sample rate of the input in Hz.

    Raises:
        ValueError: For an unknown key, an `fs` that is not the upstream's rate, or a layer that does not exist.
        FileNotFoundError: For a missing checkpoint.

    Source:
        Yang et al., "SUPERB", Interspeech 2021, section 3 (featurizer).
    """

    # An utterance in a padded batch has the features it has alone.
    length_aware = True

    def __init__(
        self,
        upstream: Mapping[str, Any] | None = None,
        layer: int | str = "weighted_sum",
        normalize: bool = False,
        fs: int = 16000,
        **unknown: Any,
    ):
        super().__init__()
        check_keys("frozen_ssl: frontend_conf", unknown, ("upstream", "layer", "normalize", "fs"))
        self._upstream_options = check_mapping("frozen_ssl: frontend_conf: upstream", upstream, UPSTREAM_OPTIONS)
        model = self.upstream
        if fs != model.sample_rate:
            raise ValueError(f"frozen_ssl: fs is {fs}, but the upstream takes {model.sample_rate} Hz")
        weighted = layer == "weighted_sum"
        if not weighted and not (isinstance(layer, int) and -model.n_layers - 1 <= layer <= model.n_layers):
            raise ValueError(
                f"frozen_ssl: layer must be 'weighted_sum' or 0 to {model.n_layers}, or negative from the end, "
                f"not {layer!r}"
            )
        self.layer = layer
        self.normalize = normalize
        self.layer_weights = torch.nn.Parameter(torch.zeros(model.n_layers + 1)) if weighted else None

    @property
    def upstream(self) -> Upstream:
        """The upstream, one per process, loaded when first used."""
        return get_shared_upstream(**self._upstream_options)

    def output_size(self) -> int:
        """Features per frame."""
        return self.upstream.feature_dim

    def forward(self, input: torch.Tensor, input_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Extract features.

        Args:
            input: (B, T) waveform.
            input_lengths: (B,) in samples.

        Returns:
            (B, N, D) features and (B,) lengths in frames.
        """
        if isinstance(self.layer, int):
            layers, lengths = self.upstream(input, input_lengths, layers=self.layer)
        else:
            layers, lengths = self.upstream.all_layers(input, input_lengths)
        if self.normalize:
            layers = torch.nn.functional.layer_norm(layers, layers.shape[-1:])
        if self.layer_weights is None:
            return layers, lengths
        weights = torch.softmax(self.layer_weights, dim=0).to(layers.dtype)
        return torch.einsum("l,lbnd->bnd", weights, layers), lengths
