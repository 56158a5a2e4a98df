"""What an audio file's format tells of a part that is missing; reading is tested where it is done."""

import re

import numpy as np
import pytest
import soundfile

from espnet_plugins.truncation import missing_part


def told(path):
    with soundfile.SoundFile(str(path)) as file:
        return missing_part(path, file, samples=len(file.read()))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("WAV", r"\d+ of 64\d+ bytes are there"),
        ("AIFF", r"\d+ of 64\d+ bytes are there"),
        ("NIST", r"\d+ of 32000 samples are there"),
        ("OGG", "its last page is missing"),
    ],
)
def test_half_a_file(tmp_path, kind, message):
    path = tmp_path / f"a.{kind.lower()}"
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(32000), 16000, format=kind)
    assert told(path) is None
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert re.fullmatch(message, told(path))
