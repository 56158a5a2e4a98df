import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugins.inference.overlap import cut_at_pauses, overlap_add


@given(total=st.integers(1, 60), window=st.integers(2, 20), overlap=st.integers(1, 19))
def test_what_works_sample_by_sample_is_not_changed(total, window, overlap):
    if overlap >= window:
        return
    signal = torch.randn(2, total, generator=torch.Generator().manual_seed(total))
    found = overlap_add(signal, lambda piece: 2 * piece[None], window=window, overlap=overlap)
    torch.testing.assert_close(found[0], 2 * signal)


def test_pieces_are_faded_into_each_other():
    calls = []

    def level(piece):
        calls.append(piece)
        return torch.full((1, *piece.shape), float(len(calls)))

    (found,) = overlap_add(torch.zeros(1, 14), level, window=8, overlap=2)
    assert len(calls) == 2
    assert found[0, :6].eq(1).all()
    assert found[0, 8:].eq(2).all()
    torch.testing.assert_close(found[0, 6:8], torch.tensor([4 / 3, 5 / 3]))


def test_speakers_keep_their_place():
    generator = torch.Generator().manual_seed(0)
    speakers = torch.randn(3, 2, 400, generator=generator)
    turn = iter(range(100))

    def separate(piece):
        """Give the speakers in another order each time; the mixture's first row says where the piece lies."""
        start = int(piece[0, 0])
        order = torch.tensor([0, 1, 2]).roll(next(turn))
        return speakers[order, :, start : start + piece.shape[1]]

    mixture = torch.arange(400.0).expand(2, 400)
    found = overlap_add(mixture, separate, window=100, overlap=30)
    torch.testing.assert_close(found, speakers)


@pytest.mark.parametrize("overlap", [0, 8, 9])
def test_pieces_must_advance(overlap):
    with pytest.raises(ValueError, match="must lie between 0 and window"):
        overlap_add(torch.zeros(1, 100), lambda piece: piece[None], window=8, overlap=overlap)


@given(samples=st.integers(0, 500), longest=st.integers(8, 100))
def test_cut_pieces_are_the_whole(samples, longest):
    waveform = np.random.default_rng(samples).standard_normal(samples)
    pieces = cut_at_pauses(waveform, longest=longest, frame=4)
    assert np.array_equal(np.concatenate(pieces), waveform)
    assert all(len(piece) <= longest for piece in pieces)


def test_cuts_lie_in_pauses():
    waveform = np.ones(1000)
    waveform[340:380] = waveform[650:690] = 0
    ends = np.cumsum([len(piece) for piece in cut_at_pauses(waveform, longest=400, frame=10)])
    assert 340 <= ends[0] <= 380
    assert 650 <= ends[1] <= 690
