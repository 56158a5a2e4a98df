"""GTCRN on a waveform that comes piece by piece."""

from __future__ import annotations

import torch

from espnet_plugins.enh.gtcrn import GTCRN, HOP_LENGTH, N_FFT, State


class GTCRNStream:
    """Enhance a stream; the pieces together are what the whole waveform would have given.

    Args:
        model: Put into evaluation mode.

    Example:
        >>> stream = GTCRNStream(GTCRN())
        >>> [len(piece) for piece in (stream.feed(torch.zeros(700)), stream.feed(torch.zeros(400)), stream.finish())]
        [256, 512, 332]
    """

    def __init__(self, model: GTCRN):
        self.model = model.eval()
        self._state: State | None = None
        self._tail: torch.Tensor | None = None
        self._heard = self._emitted = 0
        # From half a window before the next frame's middle on; at the start, the waveform itself.
        self._samples = self._latest = next(model.parameters()).new_zeros(0)

    @property
    def algorithmic_latency(self) -> int:
        """Samples that must have come behind a sample before it is given back, at worst."""
        return self.model.algorithmic_latency

    def feed(self, samples: torch.Tensor) -> torch.Tensor:
        """Take samples in.

        Args:
            samples: (n,), any number.

        Returns:
            (m,) enhanced samples that have become certain.
        """
        self._take(samples.to(self._samples))
        self._heard += len(samples)
        if self._tail is None and self._heard <= HOP_LENGTH:
            # What stands before the first sample is not known yet.
            return self._samples[:0]
        return self._advance()

    def finish(self) -> torch.Tensor:
        """End the stream.

        Returns:
            The enhanced samples that were still awaited: together as many as came in.
        """
        if self._heard == 0:
            return self._samples[:0]
        self._take(self._samples.new_zeros(max(HOP_LENGTH + 1 - self._heard, 0)))
        # Mirrored as the whole waveform is, and zeros enough for the last window.
        self._take(self._latest[:-1].flip(0))
        self._take(self._samples.new_zeros(HOP_LENGTH))
        rest = self._heard - self._emitted
        return self._advance()[:rest]

    def _take(self, samples: torch.Tensor) -> None:
        self._samples = torch.cat([self._samples, samples])
        self._latest = torch.cat([self._latest, samples])[-HOP_LENGTH - 1 :]

    @torch.inference_mode()
    def _advance(self) -> torch.Tensor:
        """Compute every frame whose samples are there; give back the samples that they make certain."""
        if self._tail is None:
            self._samples = torch.cat([self._samples[1 : HOP_LENGTH + 1].flip(0), self._samples])
        n_frames = (len(self._samples) - N_FFT) // HOP_LENGTH + 1
        if n_frames < 1:
            return self._samples[:0]
        spectra = self.model.spectra(self._samples[None, : (n_frames + 1) * HOP_LENGTH])
        self._samples = self._samples[n_frames * HOP_LENGTH :]
        mask, self._state = self.model.network(spectra, None, self._state)
        blocks = self.model.blocks(spectra, mask)[0]
        first, second = blocks[:, :HOP_LENGTH], blocks[:, HOP_LENGTH:]
        if self._tail is not None:
            second = torch.cat([self._tail[None], second])
        else:
            # Before the first sample there is nothing to give back.
            first = first[1:]
        self._tail = second[-1]
        enhanced = (second[:-1] + first).flatten()
        self._emitted += len(enhanced)
        return enhanced
