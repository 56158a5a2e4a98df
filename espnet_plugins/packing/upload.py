"""Packed models on a hub, as ESPnet's recipes put them there: the files of the archive, the card among them."""

from __future__ import annotations

import re
import zipfile
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class UploadError(RuntimeError):
    """Why nothing was uploaded, or not all."""


def check_repository(name: str) -> str:
    """Check the name of a repository.

    Raises:
        ValueError: For anything but OWNER/NAME.

    Example:
        >>> check_repository("me/my-model")
        'me/my-model'
    """
    if not _REPOSITORY.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a repository: give OWNER/NAME")
    return name


def packed_files(path: str | PathLike[str]) -> list[tuple[str, int]]:
    """What a packed model holds: names and bytes.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: When it is no packed model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no packed model")
    with zipfile.ZipFile(path) as archive:
        found = [(info.filename, info.file_size) for info in archive.infolist() if not info.is_dir()]
    if {"meta.yaml", "README.md"} - {name for name, _ in found}:
        raise ValueError(f"{path} is no packed model with a card: it lacks meta.yaml or README.md")
    return found


def upload_packed(path: str | PathLike[str], repository: str, *, private: bool = True) -> str:
    """Put a packed model into a repository of the Hugging Face hub; it is made where it is not there.

    The hub's own library finds the token (`hf auth login`, or HF_TOKEN).

    Args:
        path: What :func:`~espnet_plugins.packing.pack_model` wrote.
        repository: "OWNER/NAME".
        private: Whether a new repository is seen by its owner alone, who may open it on the hub's site.

    Returns:
        Its address.

    Raises:
        FileNotFoundError: When there is no such file.
        ValueError: For another name, or a file that is no packed model.
        UploadError: Where the hub's library is missing, or the hub refuses or is not reached.
    """
    check_repository(repository)
    packed_files(path)
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise UploadError("uploading needs the hub's library: pip install huggingface_hub") from error
    with TemporaryDirectory() as folder:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        try:
            api = HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"{Path(path).name}")
        # Its errors are of many libraries: of the network, of the hub, of tokens.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise UploadError(f"{repository}: not uploaded ({reason}); a token is set with `hf auth login`") from error
    return f"https://huggingface.co/{repository}"
