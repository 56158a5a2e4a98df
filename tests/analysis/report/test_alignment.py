"""Soft alignment of an estimate with its reference at another speed."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from espnet_plugins.analysis.report.alignment import alignment_picture, speed_alignment


def test_each_frame_is_aligned_and_the_path_follows_the_speed(make_upstream):
    generator = np.random.default_rng(0)
    signal = 0.1 * generator.standard_normal(16000).cumsum() / 50
    upstream = {"model": "local", "checkpoint": str(make_upstream())}
    alignment = speed_alignment(signal, signal, upstream=upstream, factor=0.8)
    rows, columns = alignment.shape
    assert columns / rows > 1.2
    assert (alignment.sum(1) > 0.99).all()
    assert (alignment.sum(0) > 0.99).all()
    assert alignment[0, 0] > 0.99
    assert alignment[-1, -1] > 0.99


def test_the_picture_has_content():
    kind, _, content = alignment_picture(np.eye(40, 50)).partition(",")
    assert kind == "data:image/png;base64"
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(content))).convert("L"))
    assert pixels.shape == (340, 420)
    assert pixels.std() > 10
