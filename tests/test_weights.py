import argparse

import pytest
import torch

from espnet_plugins.ssl import build_upstream
from espnet_plugins.weights import read_weights

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def readers(path):
    """Whatever reads a file of weights."""
    return [
        lambda: read_weights(path),
        lambda: build_upstream("local", checkpoint=path),
        lambda: build_upstream("whisper", checkpoint=path),
        lambda: build_upstream("hubert_base", checkpoint=path)(torch.zeros(1, 800)),
    ]


@pytest.mark.parametrize("reader", range(4))
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LFS, r"pointer of Git LFS.*git lfs pull"),
        ("<!DOCTYPE html>", "is a web page.*fetch it again"),
        ("", "is empty"),
    ],
)
def test_files_that_are_no_weights(tmp_path, reader, content, message):
    path = tmp_path / "some weights.pt"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"some weights\.pt {message}" if not content else message):
        readers(path)[reader]()


@pytest.mark.parametrize("reader", range(4))
def test_checkpoints_of_fairseq(tmp_path, reader):
    path = tmp_path / "hubert_base_ls960.pt"
    torch.save({"args": argparse.Namespace(arch="hubert"), "model": {"w": torch.zeros(1)}}, path)
    with pytest.raises(ValueError, match=r"holds objects of fairseq.*torchaudio bundle .* or as a Hugging Face"):
        readers(path)[reader]()
