"""ESPnet's own front-ends in the place of `frozen_ssl`, for recognizers that leave this package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from espnet2.tasks.asr import frontend_choices

from espnet_plugins.asr.frontend import FrozenSSLFrontend
from espnet_plugins.compat import HUGGINGFACE_COUNTS_FRAMES

# Kinds of Hugging Face models that s3prl wraps from a folder.
_S3PRL = {"hubert": "hf_hubert_custom", "wav2vec2": "hf_wav2vec2_custom"}
_SAMPLES = 8000
# Kernels differ in the last bits; a front-end that differs in what it does is far off.
_TOLERANCE = 1e-3


class NotExportable(ValueError):
    """Why stock ESPnet cannot stand for a front-end."""


class StockFrontend(NamedTuple):
    """A front-end of ESPnet.

    Args:
        name: In ESPnet's table.
        conf: Its options, the upstream where it is now.
        upstream: The folder of the Hugging Face model.
        weights: Its state dict.
        exact: Whether it counts frames as frozen_ssl does; else one or two repeat at the end.
    """

    name: str
    conf: dict[str, Any]
    upstream: Path
    weights: dict[str, torch.Tensor]
    exact: bool

    def conf_at(self, place: Path) -> dict[str, Any]:
        """Its options with the upstream at another place."""
        if self.name == "huggingface":
            return {**self.conf, "model": str(place)}
        return {**self.conf, "frontend_conf": {**self.conf["frontend_conf"], "path_or_url": str(place)}}


def stock_frontend(conf: Mapping[str, Any], layer_weights: torch.Tensor | None) -> StockFrontend:
    """Find the front-end of ESPnet that gives the frames of a `frozen_ssl`, and try on noise that it does.

    The last layer alone goes through `huggingface`, from ESPnet 202611 on exactly; one layer or the weighted sum of
    all through `s3prl`, which repeats the last frame once or twice.

    Args:
        conf: Options of frozen_ssl.
        layer_weights: Its trained weights, for a weighted sum.

    Returns:
        The front-end.

    Raises:
        NotExportable: Where there is none, saying why.
    """
    upstream = conf.get("upstream") or {}
    if upstream.get("model") != "huggingface":
        raise NotExportable(
            "stock ESPnet reads SSL models from Hugging Face directories alone, not the upstream "
            f"{upstream.get('model', 'hubert_base')!r}"
        )
    folder = Path(upstream["checkpoint"])
    if not (folder / "preprocessor_config.json").is_file():
        raise NotExportable(f"stock ESPnet needs a preprocessor_config.json in {folder}")
    ours = FrozenSSLFrontend(**conf).eval()
    if layer_weights is not None and ours.layer_weights is not None:
        ours.layer_weights.data.copy_(layer_weights)
    name, stock_conf = _choose(ours, folder, normalize=bool(conf.get("normalize")))
    try:
        stock = frontend_choices.get_class(name)(**stock_conf).eval()
    except ImportError as error:
        raise NotExportable(
            f"its front-end {name!r} needs {error.name}: pip install espnet-s3prl transformers"
        ) from error
    if layer_weights is not None:
        stock.featurizer.weights.data.copy_(layer_weights)
    _compare(ours, stock, name)
    weights = {key: value.clone() for key, value in stock.state_dict().items()}
    return StockFrontend(name, stock_conf, folder, weights, exact=name == "huggingface")


def _choose(ours: FrozenSSLFrontend, folder: Path, *, normalize: bool) -> tuple[str, dict[str, Any]]:
    layer, n_layers = ours.layer, ours.upstream.n_layers
    if isinstance(layer, int) and layer < 0:
        layer += n_layers + 1
    if layer == n_layers and HUGGINGFACE_COUNTS_FRAMES and not normalize:
        return "huggingface", {"model": str(folder), "fs": 16000}
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind not in _S3PRL:
        raise NotExportable(f"s3prl wraps no {kind!r} from a folder")
    conf: dict[str, Any] = {"upstream": _S3PRL[kind], "path_or_url": str(folder), "normalize": normalize}
    layers = {"layer": layer} if isinstance(layer, int) else {"multilayer_feature": True}
    return "s3prl", {"fs": 16000, "frontend_conf": conf, **layers}


@torch.no_grad()
def _compare(ours: FrozenSSLFrontend, stock: torch.nn.Module, name: str) -> None:
    waveform = 0.1 * torch.randn(1, _SAMPLES, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([_SAMPLES])
    expected, found = ours(waveform, lengths)[0], stock(waveform, lengths)[0]
    n_frames = expected.shape[1]
    if found.shape[1] < n_frames or found.shape[2] != expected.shape[2]:
        raise NotExportable(f"ESPnet's {name!r} gives frames {list(found.shape)}, not {list(expected.shape)}")
    difference = float((found[:, :n_frames] - expected).abs().max() / expected.abs().max())
    if not difference <= _TOLERANCE:
        raise NotExportable(f"ESPnet's {name!r} gives other frames (they differ by {difference:.2g} of the greatest)")
