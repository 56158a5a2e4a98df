"""torchaudio's pre-trained bundles: downloaded once, verified, or read from a file with no network."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from espnet_plugins.ssl.checkpoint import instantiate
from espnet_plugins.ssl.downloads import Source, fetch, verify
from espnet_plugins.weights import why_unreadable

if TYPE_CHECKING:
    from torchaudio.pipelines import Wav2Vec2Bundle

_SITE = "https://download.pytorch.org/torchaudio/models/"
# Published files whose digest is known beforehand. The digest of any other file is written down beside it when it
# is downloaded and compared from then on.
KNOWN_SHA256 = {
    "wavlm_base_plus.pth": "136a3e720c04f2c77bf7a4dc6a3868b14d5a2c145a988114b733cb1a8428be98",
}


def bundles() -> dict[str, Wav2Vec2Bundle]:
    """Give torchaudio's bundles of models without a recognition head, by name in lower case."""
    from torchaudio import pipelines

    return {
        name.lower(): bundle for name, bundle in vars(pipelines).items() if type(bundle) is pipelines.Wav2Vec2Bundle
    }


def bundle_file(bundle: Wav2Vec2Bundle, checkpoint: str | PathLike[str] | None) -> Path:
    """Say where a bundle's weights are or shall go.

    Args:
        bundle: the bundle.
        checkpoint: file, existing folder, or None for torch hub's cache.

    Returns:
        The file, which need not exist unless it was given.

    Raises:
        FileNotFoundError: where ``checkpoint`` is neither file nor folder.
    """
    name = bundle._path.rpartition("/")[2]
    if checkpoint is None:
        return Path(torch.hub.get_dir()) / "checkpoints" / name
    path = Path(checkpoint)
    if path.is_dir():
        return path / name
    if not path.is_file():
        raise FileNotFoundError(
            f"checkpoint {path}: no such file or folder; give {name}, or the folder that holds or shall receive it"
        )
    return path


def load_bundle(bundle: Wav2Vec2Bundle, path: Path) -> torch.nn.Module:
    """Build a bundle's model with the weights in ``path``, downloading them where they are not there.

    Args:
        bundle: the bundle.
        path: as given by :func:`bundle_file`.

    Returns:
        The torchaudio model.

    Raises:
        RuntimeError: where the download fails.
        ValueError: where the digest or the weights are not those of the bundle.
    """
    sha256 = KNOWN_SHA256.get(path.name)
    if not path.is_file():
        url = bundle._path if bundle._path.startswith("https") else _SITE + bundle._path
        fetch(path, Source(sha256=sha256, url=url))
    verify(path, sha256)
    try:
        weights: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(why_unreadable(path, error)) from error
    return instantiate(bundle._params, weights, where=str(path))
