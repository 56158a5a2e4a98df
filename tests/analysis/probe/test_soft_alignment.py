"""What an alignment follows: its two poles, and what lies between."""

import math

import pytest
import torch

from espnet_plugins.analysis.probe.alignment import alignment_shares

FRAMES = 60


class LevelAndCode:
    """Frames that hold the waveform's level, which no speed changes, and a code of their index, times `code`."""

    hop_length, n_layers = 20, 1

    def __init__(self, code):
        self.code = code

    def all_layers(self, waveform):
        level = 2**0.5 * waveform.unfold(1, 2 * self.hop_length, self.hop_length).square().mean(2).sqrt()
        angle = 3 * level
        index = torch.arange(level.shape[1]) / 25
        content = torch.stack([angle.cos(), angle.sin()], -1)
        code = torch.stack([index.cos(), index.sin()], -1).expand(len(content), -1, -1)
        both = torch.cat([content, self.code * code], -1)
        return torch.stack([both, torch.cat([0 * content, code], -1)]), torch.full((len(level),), level.shape[1])


def speech(count=6):
    """A tone whose level rises and falls once, sooner or later."""
    time = torch.arange(FRAMES * LevelAndCode.hop_length + LevelAndCode.hop_length)
    places = torch.linspace(0.3, 0.7, count)[:, None] * len(time)
    return torch.sin(2 * math.pi * 0.2 * time) * (1 - (time - places).abs() / len(time))


def shares(code, **options):
    utterances = speech()
    return alignment_shares(LevelAndCode(code), utterances, utterances, gamma=1e-3, resamples=200, **options)


def test_content_alone_is_followed_and_a_code_alone_is_followed_too():
    content, code = shares(0.0)
    assert content.low > 0.8
    # The last frames must run to the corner, whatever the code says.
    assert code.high < 0.25


def test_the_more_of_the_code_the_less_the_content_leads():
    values = [shares(code)[0].value for code in (0.0, 1.0, 4.0)]
    assert values[0] > values[1] > values[2]
    assert values[2] < 0.4


def test_equal_speeds_tell_nothing():
    with pytest.raises(ValueError, match=r"factors: 1\.0: equal speeds"):
        shares(0.0, factors=(0.8, 1.0))
