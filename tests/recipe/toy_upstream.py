"""An upstream from outside the repository: logarithmic spectra, with one block that mixes their bins."""

import torch

from espnet_plugins.ssl import UpstreamSpec, register_upstream

BINS = 33


class ToySpectrum(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Linear(BINS, BINS)

    def extract(self, waveform):
        frames = waveform.unfold(1, 2 * (BINS - 1), 320)
        return (torch.fft.rfft(frames).abs() + 1e-4).log()

    def embed(self, features, padding):
        return features

    def block(self, index, hidden, padding, carry):
        return hidden + self.mix(hidden).tanh(), carry


def describe(checkpoint):
    return UpstreamSpec("toy spectrum", BINS, 1, ((2 * (BINS - 1), 320),), False, 16000, build=ToySpectrum)


register_upstream("toy_spectrum", describe)
