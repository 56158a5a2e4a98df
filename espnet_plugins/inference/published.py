"""Published weights of enhancement models as ESPnet models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from espnet_plugins.contents import sha256_of
from espnet_plugins.enh.demucs import Demucs
from espnet_plugins.enh.gtcrn import GTCRN
from espnet_plugins.inference.export import write_model
from espnet_plugins.inference.foreign import explain_denoiser_checkpoint
from espnet_plugins.inference.gtcrn_layout import from_published
from espnet_plugins.tasks import EnhTask, default_config
from espnet_plugins.weights import read_weights


@dataclass(frozen=True)
class Family:
    """Models of one kind and one source.

    Args:
        separator: What ESPnet's table of separators calls it; its network stands under this name there.
        network: The class.
        source: The name of the folder below the downloads.
        license: What a user has to know.
        license_name: The same in a word.
        convert: Turns a published state dict into one of the class.
    """

    separator: str
    network: Callable[..., torch.nn.Module]
    source: str
    license: str
    license_name: str
    convert: Callable[..., dict[str, torch.Tensor]] = lambda weights, *, where: dict(weights)


DENOISER = Family(
    "demucs",
    Demucs,
    "denoiser",
    "The weights of facebookresearch/denoiser are licensed CC BY-NC 4.0 "
    "(https://creativecommons.org/licenses/by-nc/4.0/): name the authors, no commercial use. "
    "Cite Defossez, Synnaeve, Adi, Interspeech 2020.",
    "CC BY-NC 4.0",
)
GTCRN_AUTHORS = Family(
    "gtcrn",
    GTCRN,
    "gtcrn",
    "The weights of Xiaobin-Rong/gtcrn are licensed MIT, Copyright (c) 2024 Rong Xiaobin "
    "(https://github.com/Xiaobin-Rong/gtcrn/blob/main/LICENSE): keep this notice with copies. "
    "Cite Rong et al., ICASSP 2024.",
    "MIT",
    from_published,
)


@dataclass(frozen=True)
class Published:
    """A published model.

    Args:
        sha256: What the checksum of its file begins with.
        options: Of its network.
        family: What it is one of.
        address: Where its file is.
    """

    sha256: str
    options: Mapping[str, Any] = field(default_factory=dict)
    family: Family = DENOISER
    address: str = ""

    @property
    def file(self) -> str:
        """The file's name."""
        return self.address.rsplit("/", 1)[-1]


def _denoiser(name: str, sha256: str, **options: Any) -> Published:
    address = f"https://dl.fbaipublicfiles.com/adiyoss/denoiser/{name}-{sha256}.th"
    return Published(sha256, options, DENOISER, address)


def _gtcrn(data: str, sha256: str) -> Published:
    commit = "3862c44808dca492ea5a8a145d2dc2a1028d08c8"
    address = f"https://raw.githubusercontent.com/Xiaobin-Rong/gtcrn/{commit}/checkpoints/model_trained_on_{data}.tar"
    return Published(sha256, {}, GTCRN_AUTHORS, address)


# Sources: the denoiser package's table of pre-trained models, whose files' names end in the checksums; the files of
# GTCRN's authors.
PUBLISHED = {
    "dns48": _denoiser("dns48", "11decc9d8e3f0998", hidden=48),
    "dns64": _denoiser("dns64", "a7761ff99a7d5bb6", hidden=64),
    "master64": _denoiser("master64", "8a5dfb4bb92753dd", hidden=64),
    "valentini_nc": _denoiser("valentini_nc", "93fc4337", hidden=64, causal=False, stride=2, resample=2),
    "gtcrn_dns3": _gtcrn("dns3", "a630d992cf792daf4ce2bb5bcf9c4d389f740a8f09c6e0971184697fe6371b79"),
    "gtcrn_vctk": _gtcrn("vctk", "a0f0e04421d9fc1efe734d44191f5dc4b973ce59d6546af8d64ad9167e2a9944"),
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
        ['dns48', 'dns64', 'gtcrn_dns3', 'gtcrn_vctk', 'master64', 'valentini_nc']
    """
    path = Path(path)
    if not path.is_file():
        where = ", ".join(model.address for model in PUBLISHED.values())
        raise FileNotFoundError(f"{path}: no such file; the published ones: {where}")
    found = sha256_of(path)
    for name, model in PUBLISHED.items():
        if found.startswith(model.sha256):
            return name
    expected = ", ".join(f"{name} {model.sha256[:16]}" for name, model in PUBLISHED.items())
    raise ValueError(
        f"{path}: its sha256 begins with {found[:16]}, which is no published model ({expected}): it is damaged, or "
        "another file. For weights of your own in the layout of one of them, name it: --layout NAME"
    )


def check_layout(weights: Mapping[str, torch.Tensor], network: torch.nn.Module, *, where: str) -> None:
    """Check that every parameter is there, of the right shape, finite, and nothing else.

    Args:
        weights: A state dict.
        network: What it belongs to; may be on the meta device.
        where: What an error message calls it.

    Raises:
        ValueError: Naming the first parameters that differ.

    Example:
        >>> check_layout({}, Demucs(hidden=4), where="file.th")
        Traceback (most recent call last):
        ValueError: file.th lacks 48 of 48 parameters: decoder.0.0.bias, decoder.0.0.weight, decoder.0.2.bias, ...
    """
    expected = network.state_dict()

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


def front_end_of(model: Published) -> dict[str, Any]:
    """The modules of ESPnet's enhancement model around a published network.

    Example:
        >>> front_end_of(PUBLISHED["master64"])["separator_conf"]
        {'hidden': 64}
    """
    return {
        "encoder": "same",
        "encoder_conf": {},
        "separator": model.family.separator,
        "separator_conf": dict(model.options),
        "decoder": "same",
        "decoder_conf": {},
    }


def import_enhancer(path: str | PathLike[str], out: str | PathLike[str], *, layout: str | None = None) -> str:
    """Write a published model as a checkpoint folder of ESPnet.

    The folder holds config.yaml, model.pth and LICENSE: a model for enh_inference, enhance and
    `Enhancer.from_checkpoint`, and `--init_param model.pth::enh_model` for joint training.

    Args:
        path: The file, as its authors publish it.
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
    try:
        name = identify(path) if layout is None else layout
        published = read_weights(path)
    except ValueError as error:
        if explanation := explain_denoiser_checkpoint(path):
            raise ValueError(explanation) from error
        raise
    model = PUBLISHED[name]
    where = f"{path} ({name})"
    weights = model.family.convert(published, where=where)
    with torch.device("meta"):
        network = model.family.network(**model.options)
    check_layout(weights, network, where=where)
    settings = {**default_config(EnhTask), **front_end_of(model), "criterions": None, "init": None}
    renamed = {
        f"separator.{model.family.separator}.{key}": (
            value.float() if value.is_floating_point() else value
        ).contiguous()
        for key, value in weights.items()
    }
    notice = model.family.license if layout is None else f"Weights of your own in the layout of {name}."
    write_model(out, settings, renamed, files={"LICENSE": f"{notice}\nImported from {path.name}.\n".encode()})
    return name
