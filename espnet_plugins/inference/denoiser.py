"""Published weights of the `denoiser` package as an ESPnet model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from espnet_plugins.enh.demucs import Demucs
from espnet_plugins.inference.export import write_model
from espnet_plugins.tasks import EnhTask
from espnet_plugins.weights import read_weights

LICENCE = (
    "The weights of facebookresearch/denoiser are licensed CC BY-NC 4.0 "
    "(https://creativecommons.org/licenses/by-nc/4.0/): name the authors, no commercial use. "
    "Cite Defossez, Synnaeve, Adi, Interspeech 2020."
)
_ADDRESS = "https://dl.fbaipublicfiles.com/adiyoss/denoiser"
# Where the network stands in ESPnet's model.
_PREFIX = "separator.demucs."


@dataclass(frozen=True)
class Published:
    """A published model.

    Args:
        sha256: What the checksum of its file begins with.
        options: Of espnet_plugins.enh.demucs.Demucs.
    """

    sha256: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """Where its file is."""
        return f"{_ADDRESS}/{name}-{self.sha256}.th"


# Source: the package's table of pre-trained models; the names of its files end in the checksums.
PUBLISHED = {
    "dns48": Published("11decc9d8e3f0998", {"hidden": 48}),
    "dns64": Published("a7761ff99a7d5bb6", {"hidden": 64}),
    "master64": Published("8a5dfb4bb92753dd", {"hidden": 64}),
    "valentini_nc": Published("93fc4337", {"hidden": 64, "causal": False, "stride": 2, "resample": 2}),
}


def identify(path: str | PathLike[str]) -> str:
    """Which published model a file is, by its checksum.

    Args:
        path: The file.

    Returns:
        Its name in PUBLISHED.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is none of them.

    Example:
        >>> sorted(PUBLISHED)
        ['dns48', 'dns64', 'master64', 'valentini_nc']
    """
    path = Path(path)
    if not path.is_file():
        where = ", ".join(model.address(name) for name, model in PUBLISHED.items())
        raise FileNotFoundError(f"{path}: no such file; the published ones: {where}")
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    found = digest.hexdigest()
    for name, model in PUBLISHED.items():
        if found.startswith(model.sha256):
            return name
    expected = ", ".join(f"{name} {model.sha256}" for name, model in PUBLISHED.items())
    raise ValueError(
        f"{path}: its sha256 begins with {found[:16]}, which is no published model ({expected}): it is damaged, or "
        "another file. For weights of your own in the layout of one of them, name it: --layout NAME"
    )


def check_layout(weights: Mapping[str, torch.Tensor], options: Mapping[str, Any], *, where: str) -> None:
    """Check that every parameter is there, of the right shape, finite, and nothing else.

    Args:
        weights: A state dict.
        options: Of the Demucs it belongs to.
        where: What an error message calls it.

    Raises:
        ValueError: Naming the first parameters that differ.

    Example:
        >>> check_layout({}, {"hidden": 4}, where="file.th")
        Traceback (most recent call last):
        ValueError: file.th lacks 48 of 48 parameters: decoder.0.0.bias, decoder.0.0.weight, decoder.0.2.bias, ...
    """
    with torch.device("meta"):
        expected = Demucs(**options).state_dict()

    def named(names: list[str]) -> str:
        return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

    if missing := sorted(expected.keys() - weights.keys()):
        raise ValueError(f"{where} lacks {len(missing)} of {len(expected)} parameters: {named(missing)}")
    if more := sorted(weights.keys() - expected.keys()):
        raise ValueError(f"{where} holds parameters that the model does not have: {named(more)}")
    for name, value in expected.items():
        if weights[name].shape != value.shape:
            shapes = f"{list(weights[name].shape)}, not {list(value.shape)}"
            raise ValueError(f"{where}: {name} has shape {shapes}")
        if not bool(weights[name].isfinite().all()):
            raise ValueError(f"{where}: {name} holds values that are not finite")


def front_end_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The modules of ESPnet's enhancement model around a Demucs.

    Example:
        >>> front_end_of({"hidden": 64})["separator"]
        'demucs'
    """
    return {
        "encoder": "same",
        "encoder_conf": {},
        "separator": "demucs",
        "separator_conf": dict(options),
        "decoder": "same",
        "decoder_conf": {},
    }


def import_denoiser(path: str | PathLike[str], out: str | PathLike[str], *, layout: str | None = None) -> str:
    """Write a published model as a checkpoint folder of ESPnet.

    The folder holds config.yaml, model.pth and LICENCE: a model for enh_inference, enhance and
    `Enhancer.from_checkpoint`, and `--init_param model.pth::enh_model` for joint training.

    Args:
        path: A state dict of the denoiser package.
        out: The folder; must not exist, or be empty.
        layout: For weights of your own: the published model whose layout they have; the checksum is not looked at.

    Returns:
        The name of the published model.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: For a file that is not what it should be, an unknown layout, or a folder that is not empty.
    """
    path, out = Path(path), Path(out).absolute()
    if layout is not None and layout not in PUBLISHED:
        raise ValueError(f"layout {layout!r} is not known: choose from {', '.join(PUBLISHED)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty: give another folder")
    name = identify(path) if layout is None else layout
    options = dict(PUBLISHED[name].options)
    weights = read_weights(path)
    check_layout(weights, options, where=f"{path} ({name})")
    settings = {**EnhTask.get_default_config(), **front_end_of(options), "criterions": None, "init": None}
    renamed = {f"{_PREFIX}{key}": value.float().contiguous() for key, value in weights.items()}
    notice = LICENCE if layout is None else f"Weights of your own in the layout of {name}."
    write_model(out, settings, renamed, files={"LICENCE": f"{notice}\nImported from {path.name}.\n".encode()})
    return name
