"""torchaudio's pre-trained bundles: downloaded once, verified, or read from a file with no network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from espnet_plugins.atomic import atomic_path, write_text
from espnet_plugins.ssl.checkpoint import instantiate

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
    if not path.is_file():
        _download(bundle, path)
    _verify(path)
    try:
        weights: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a torchaudio checkpoint: {error}") from error
    return instantiate(bundle._params, weights, where=str(path))


def _download(bundle: Wav2Vec2Bundle, path: Path) -> None:
    from filelock import FileLock

    url = bundle._path if bundle._path.startswith("https") else _SITE + bundle._path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():  # another process was faster
            return
        try:
            with atomic_path(path) as arriving:
                torch.hub.download_url_to_file(url, str(arriving), hash_prefix=KNOWN_SHA256.get(path.name))
                write_text(_sidecar(path), f"{_sha256(arriving)}  {path.name}\n")
        except (OSError, RuntimeError) as error:
            raise RuntimeError(
                f"cannot download {url}: {error}. Fetch it on a machine with a network and give the file as "
                "`checkpoint`"
            ) from error


def _verify(path: Path) -> None:
    expected = KNOWN_SHA256.get(path.name)
    if expected is None and _sidecar(path).is_file():
        expected = _sidecar(path).read_text(encoding="utf-8").split()[0]
    if expected is not None and (found := _sha256(path)) != expected:
        raise ValueError(f"{path} is damaged: its SHA-256 is {found}, not {expected}. Delete it to fetch it again")


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
