"""A causal Demucs on a waveform that comes piece by piece."""

from __future__ import annotations

import torch

from espnet_plugins.enh.demucs import Demucs


class DemucsStream:
    """Enhance a stream; with the deviation given, the pieces together are what the whole waveform would have given.

    The state of the LSTM is carried on; the convolutions are computed again for the few frames before each piece.

    Args:
        model: A causal Demucs of one channel.
        std: Standard deviation of the utterance, by which the model normalizes. None takes that of what was heard
            so far: an approximation, since the model was trained with the whole utterance's.
        chunk_frames: Frames of the bottleneck (`model.hop_length` samples) that are computed at once; more cost less
            and come later.

    Raises:
        ValueError: For another model, or no frame at once.

    Example:
        >>> stream = DemucsStream(Demucs(hidden=4), std=0.1)
        >>> pieces = [stream.feed(torch.zeros(700)) for _ in range(3)] + [stream.finish()]
        >>> [len(piece) for piece in pieces]
        [172, 512, 768, 648]
    """

    def __init__(self, model: Demucs, *, std: float | None = None, chunk_frames: int = 1):
        if not model.causal or model.chin != 1 or model.chout != 1:
            raise ValueError("demucs: only a causal model of one channel enhances a stream")
        if model.stride**model.depth % model.resample:
            raise ValueError(f"demucs: {model.resample} times the rate and the model's strides give no whole hop")
        if chunk_frames < 1:
            raise ValueError(f"demucs: chunk_frames: {chunk_frames!r} is not accepted; give a whole number from 1")
        self.model = model.eval()
        self.std, self.chunk_frames = std, chunk_frames
        self._window, self._margin = model.valid_length(1), model.margin
        reach = -(-(2 * self._margin + self._window) // model.hop_length)
        self.context = reach + -(-self._margin // model.hop_length)
        # Counts from the stream's start: samples let go of, samples given back, frames computed.
        self._dropped = self._emitted = self._frames = 0
        parameter = next(model.parameters())
        self._input = parameter.new_zeros(0)
        self._outputs = parameter.new_zeros(0, 1, model.lstm.lstm.hidden_size)
        self._state: tuple[torch.Tensor, torch.Tensor] | None = None
        self._moments = (0, 0.0, 0.0)

    @property
    def algorithmic_latency(self) -> int:
        """Samples that must have come behind a sample before it is given back, at worst; with one frame at once."""
        return int(self.model.algorithmic_latency)

    def feed(self, samples: torch.Tensor) -> torch.Tensor:
        """Take samples in.

        Args:
            samples: (n,), any number.

        Returns:
            (m,) enhanced samples that have become certain.
        """
        self._input = torch.cat([self._input, samples.to(self._input)])
        self._observe(samples)
        heard = self._dropped + len(self._input)
        ready = (heard - self._window - self._margin) // self.model.hop_length + 1
        if ready - self._frames < self.chunk_frames:
            return self._input[:0]
        # Where the interpolation looks further than a hop, the first frames make no sample certain.
        return self._advance(ready, max(ready * self.model.hop_length - self._margin, 0))

    def finish(self) -> torch.Tensor:
        """End the stream.

        Returns:
            The enhanced samples that were still awaited: together as many as came in.
        """
        heard = self._dropped + len(self._input)
        return self._advance(self.model.frames(heard), heard) if heard > self._emitted else self._input[:0]

    def _observe(self, samples: torch.Tensor) -> None:
        n, total, squares = self._moments
        values = samples.double()
        self._moments = (n + len(samples), total + float(values.sum()), squares + float(values.square().sum()))

    def _scale(self) -> float:
        if self.std is not None:
            return self.std
        n, total, squares = self._moments
        return max((squares - total**2 / n) / (n - 1), 0.0) ** 0.5 if n > 1 else 0.0

    @torch.inference_mode()
    def _advance(self, frames: int, certain: int) -> torch.Tensor:
        """Compute the frames up to `frames`; give back the samples up to `certain`."""
        first = max(self._frames - self.context, 0)
        start = first * self.model.hop_length
        self._outputs = self._outputs[len(self._outputs) - (self._frames - first) :]
        self._input, self._dropped = self._input[start - self._dropped :], start
        scale = self._scale() if self.model.normalize else None
        x = self._input if scale is None else self._input / (self.model.floor + scale)
        (deepest, _), layers = self.model.encode(x[None, None], None)
        new = deepest.permute(2, 0, 1)[self._frames - first : frames - first]
        outputs, self._state = self.model.lstm(new, None, self._state)
        self._outputs = torch.cat([self._outputs, outputs])
        decoded, _ = self.model.decode((self._outputs.permute(1, 2, 0), None), layers)
        enhanced = decoded[0, 0, self._emitted - start : certain - start]
        self._frames, self._emitted = frames, certain
        return enhanced if scale is None else scale * enhanced
