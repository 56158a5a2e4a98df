"""A trained front-end as one call."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

import numpy as np
import torch

from espnet_plugins.checks import check_number
from espnet_plugins.enh.model import LengthAwareEnhancementModel
from espnet_plugins.inference.audio import as_channels, resample
from espnet_plugins.inference.experiment import find_experiment, load_front_end
from espnet_plugins.inference.overlap import overlap_add
from espnet_plugins.inference.pretrained import fetch_pretrained

SHORTEST_SECONDS = 0.1


class Enhancer:
    """Enhances waveforms of any rate, channel count and length.

    Args:
        model: A front-end of one channel.
        rate: Samples per second that it was trained at.
        window: Seconds of a piece; longer waveforms are enhanced in pieces.
        overlap: Seconds that two pieces share.
        device: Where to compute.

    Raises:
        ValueError: When `overlap` does not lie between 0 and `window`.
    """

    def __init__(
        self,
        model: LengthAwareEnhancementModel,
        *,
        rate: int = 16000,
        window: float = 30.0,
        overlap: float = 1.0,
        device: str | torch.device = "cpu",
    ):
        check_number("window", window, low=1)
        if check_number("overlap", overlap, low=0, above=True) >= window:
            raise ValueError(f"overlap: {overlap} is not accepted; give a number of seconds below window ({window})")
        self.model = model.to(device).eval()
        self.device = torch.device(device)
        self.rate = rate
        self.window, self.overlap = window, overlap

    @classmethod
    def from_checkpoint(
        cls,
        model: str | PathLike[str],
        *,
        config: str | PathLike[str] | None = None,
        moved: Mapping[str, str] | None = None,
        **options,
    ) -> Enhancer:
        """Load the front-end of an enhancement or joint training.

        Args:
            model: A model file or a training's directory; see
                :func:`~espnet_plugins.inference.experiment.find_experiment`.
            config: Its config.yaml where it is not beside the model.
            moved: Beginnings of paths in it, and what stands there now.
            options: As the constructor's: rate, window, overlap, device.

        Returns:
            The enhancer. No upstream is loaded.

        Raises:
            FileNotFoundError: For a missing model or configuration.
            ValueError: For a recognizer, or weights that do not fit.
        """
        return cls(load_front_end(find_experiment(model, config=config, moved=moved)), **options)

    @classmethod
    def from_pretrained(
        cls, source: str | PathLike[str], *, cache: str | PathLike[str] | None = None, **options
    ) -> Enhancer:
        """Load a model that was passed on.

        Args:
            source: A folder, a model file, a file of espnet2.bin.pack, or a hub's name; see
                :func:`~espnet_plugins.inference.pretrained.fetch_pretrained`.
            cache: Where packed files are unpacked.
            options: As of from_checkpoint().

        Returns:
            The enhancer.

        Raises:
            FileNotFoundError: For a model that is neither here nor could be fetched.
            ValueError: For what is no model that enhances.
            ImportError: For a hub's name where huggingface_hub is not installed.
        """
        model, config = fetch_pretrained(source, cache=cache)
        return cls.from_checkpoint(model, **{"config": config, **options})

    @property
    def n_speakers(self) -> int:
        """How many signals one waveform gives."""
        return self.model.num_spk

    @torch.inference_mode()
    def __call__(self, waveform: np.ndarray, rate: int) -> np.ndarray:
        """Enhance a waveform.

        Args:
            waveform: (T,) or (T, C), as soundfile gives it; each channel is enhanced by itself.
            rate: Samples per second. Above the model's rate, what lies above half the model's rate is lost.

        Returns:
            float32 of the same shape, at the same rate; with a model of several speakers (S, T) or (S, T, C).

        Raises:
            AudioError: For another shape, no samples, or values that are not finite.
        """
        channels = as_channels(waveform)
        signal = resample(channels, rate, self.rate)
        enhanced = self._enhance(torch.from_numpy(np.ascontiguousarray(signal.T)).to(self.device))
        back = [resample(one.T, self.rate, rate, samples=len(channels)) for one in enhanced.cpu().numpy()]
        shaped = np.stack([one.reshape(np.shape(waveform)) for one in back])
        return shaped[0] if self.n_speakers == 1 else shaped

    def _enhance(self, signal: torch.Tensor) -> torch.Tensor:
        samples = signal.shape[1]
        shortest = round(SHORTEST_SECONDS * self.rate)
        if samples < shortest:
            signal = torch.nn.functional.pad(signal, (0, shortest - samples))
        window, overlap = round(self.window * self.rate), round(self.overlap * self.rate)
        return overlap_add(signal, self._enhance_piece, window=window, overlap=overlap)[:, :, :samples]

    def _enhance_piece(self, signal: torch.Tensor) -> torch.Tensor:
        lengths = torch.full((len(signal),), signal.shape[1], device=signal.device)
        estimates, *_ = self.model.forward_enhance(signal, lengths, {"num_spk": self.n_speakers})
        return torch.stack(list(estimates))
