"""GTCRN as a graph."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from espnet_plugins.enh.gtcrn import GTCRN, HOP_LENGTH, N_BINS, N_FFT, BlockState, State
from espnet_plugins.onnx_export.form import Step, count


class _Spectra(nn.Module):
    """Fourier transforms of windows as convolutions, since complex numbers do not pass into a graph.

    Args:
        window: (N_FFT,), of the analysis and of the synthesis.
    """

    def __init__(self, window: torch.Tensor):
        super().__init__()
        window = window.double()
        forward = torch.fft.rfft(torch.eye(N_FFT, dtype=torch.float64))
        analysis = torch.cat([forward.real, forward.imag], dim=1).T * window
        unit = torch.eye(N_BINS, dtype=torch.complex128)
        synthesis = torch.fft.irfft(torch.cat([unit, 1j * unit]), n=N_FFT) * window
        self.analysis: torch.Tensor
        self.synthesis: torch.Tensor
        self.register_buffer("analysis", analysis.float()[:, None], persistent=False)
        self.register_buffer("synthesis", synthesis.float()[:, None], persistent=False)

    def analyze(self, samples: torch.Tensor) -> torch.Tensor:
        """(1, (N + 1) * HOP_LENGTH) to (1, 2, N, N_BINS)."""
        spectra = functional.conv1d(samples[:, None], self.analysis, stride=HOP_LENGTH)
        return spectra.reshape(1, 2, N_BINS, -1).transpose(2, 3)

    def synthesize(self, spectra: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Multiply spectra and mask, both (1, 2, N, N_BINS), and overlap the windows: (1, (N + 1) * HOP_LENGTH)."""
        real, imaginary = spectra.unbind(1)
        mask_real, mask_imaginary = mask.unbind(1)
        enhanced = torch.cat(
            [real * mask_real - imaginary * mask_imaginary, imaginary * mask_real + real * mask_imaginary], dim=2
        )
        return functional.conv_transpose1d(enhanced.transpose(1, 2), self.synthesis, stride=HOP_LENGTH)[:, 0]


class WholeGTCRN(nn.Module):
    """GTCRN on a whole utterance.

    Args:
        model: In evaluation mode.
    """

    def __init__(self, model: GTCRN):
        super().__init__()
        self.network, self.spectra = model.network, _Spectra(model.window)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """(1, T) to (1, T), for T above HOP_LENGTH."""
        n_samples = count(waveform, 1)
        n_hops = torch.div(n_samples + HOP_LENGTH - 1, HOP_LENGTH, rounding_mode="floor")
        first, last = waveform[:, 1 : HOP_LENGTH + 1].flip(1), waveform[:, -HOP_LENGTH - 1 : -1].flip(1)
        padded = torch.cat([first, waveform, last, waveform.new_zeros(1, HOP_LENGTH)], dim=1)
        spectra = self.spectra.analyze(padded[:, : (n_hops + 2) * HOP_LENGTH])
        mask, _ = self.network(spectra)
        return self.spectra.synthesize(spectra, mask)[:, HOP_LENGTH : HOP_LENGTH + n_samples]


class GTCRNStep(Step):
    """One step of :class:`~espnet_plugins.enh.gtcrn_stream.GTCRNStream`, its state in tensors.

    Args:
        model: In evaluation mode.
    """

    ending = "mirror"
    hop_length, first_block, mirror = HOP_LENGTH, N_FFT, HOP_LENGTH

    def __init__(self, model: GTCRN):
        super().__init__()
        self.network, self.spectra = model.network, _Spectra(model.window)

    def states(self) -> dict[str, torch.Tensor]:
        """Half a window of samples and of the enhanced signal, and what the network knows of the frames before."""
        blocks, recurrences = self.network.start(1)
        start = {"samples": torch.zeros(1, 0), "overlap": torch.zeros(1, HOP_LENGTH)}
        for k, block in enumerate(blocks):
            start |= {f"block{k}_frames": block.frames, f"block{k}_attention": block.attention}
        for k, dual in enumerate(recurrences):
            start |= {f"recurrence{k}_group{group}": value for group, value in enumerate(dual)}
        return start

    def growing(self) -> dict[str, int]:
        """States that grow in the first steps."""
        return {"samples": 1}

    def forward(
        self, block: torch.Tensor, samples: torch.Tensor, overlap: torch.Tensor, *states: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Compute the frames that a block completes.

        Args:
            block: (1, n).
            samples: Of the block before.
            overlap: The second half of the last window.
            states: Of the network.

        Returns:
            (1, n) samples, of the first block HOP_LENGTH fewer; the states.
        """
        n_blocks = len(self.network.encoder) + len(self.network.decoder)
        blocks = [BlockState(states[2 * k], states[2 * k + 1]) for k in range(n_blocks)]
        rest = states[2 * n_blocks :]
        groups = len(rest) // len(self.network.recurrences)
        recurrences = [list(rest[k : k + groups]) for k in range(0, len(rest), groups)]
        known = torch.cat([samples, block], dim=1)
        spectra = self.spectra.analyze(known)
        mask, state = self.network(spectra, None, State(blocks, recurrences))
        enhanced = self.spectra.synthesize(spectra, mask)
        estimate = torch.cat([enhanced[:, :HOP_LENGTH] + overlap, enhanced[:, HOP_LENGTH:-HOP_LENGTH]], dim=1)
        after = [value for one in state.blocks for value in one]
        after += [value for dual in state.recurrences for value in dual]
        return estimate, known[:, -HOP_LENGTH:], enhanced[:, -HOP_LENGTH:], *after
