"""Transcripts that CTC cannot emit: counted exactly where PyTorch's loss is infinite."""

import numpy as np
import pytest
import torch

from local.common.kaldi_dir import NO_TRANSCRIPT, Utterance
from local.common.recipe import Recipe, load_preset
from local.stages.ctc_length import describe, frames, needed, subsampling


def utterance(name, text, samples):
    return Utterance(name, name, "a.wav", ("a.wav",), (text,), "x", samples, 16000)


@pytest.mark.parametrize("text", ["HELLO", "AAB", "ABAB", "AAAA", "A"])
def test_what_is_needed_is_what_the_loss_needs(text):
    labels = torch.tensor([[ord(c) - 64 for c in text]])
    for count in range(1, 10):
        scores = torch.zeros(count, 1, 27).log_softmax(-1)
        loss = torch.nn.functional.ctc_loss(scores, labels, [count], [len(text)], reduction="sum")
        assert bool(torch.isfinite(loss)) == (count >= needed(text)), (text, count)


def test_frames_are_those_of_the_upstream_and_of_the_recognizer():
    upstream = torch.nn.Conv1d(1, 1, 400, 320)
    for samples in (400, 719, 720, 16000, 33333):
        steps = upstream(torch.zeros(1, 1, samples)).shape[-1]
        assert frames(samples, ()) == steps
        assert frames(samples, (2, 2)) == len(np.arange(steps)[::2][::2])
    assert frames(100, ()) == 0


def test_they_are_counted_and_named():
    said = [utterance("a", "HELLO", 16000), utterance("b", "HELLO", 1600), utterance("c", "HELLO", 3000)]
    assert describe(said, list, subsample=()).startswith("1 of 3 transcripts are longer than CTC can emit: b;")
    assert describe(said, list, subsample=(2,)).startswith("2 of 3 transcripts are longer than CTC can emit: b, c;")
    assert describe(said[:1], list, subsample=()) == ""
    many = [utterance(f"u{i}", "HELLO", 500) for i in range(9)]
    assert "u0, u1, u2, u3, u4 and 4 more" in describe(many, list, subsample=())


def test_the_factors_come_from_the_preset(tmp_path):
    def recipe(name):
        return Recipe(load_preset(name), name, *[tmp_path] * 4, nj=1)

    assert subsampling(recipe("mini")) == (2, 2)
    assert subsampling(recipe("paper")) == ()


def test_an_utterance_without_a_transcript_is_known():
    assert not utterance("a", NO_TRANSCRIPT, 1).transcribed
