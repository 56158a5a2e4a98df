"""Enhance audio with a graph of espnet_plugins.bin.export_onnx; needs numpy, onnxruntime and soundfile alone.

    python examples/onnx_enhancer.py MODEL.onnx IN.wav OUT.wav

A graph of a whole utterance enhances the file in one pass, one of a stream in pieces, as they would come from a
microphone. Copy this file into your own project.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

try:
    import numpy as np
    import onnxruntime
    import soundfile
except ModuleNotFoundError as error:
    if __name__ != "__main__":
        raise
    sys.exit(f"{sys.argv[0]}: error: {error.name} is not installed: pip install numpy onnxruntime soundfile")


def _open(path: str, threads: int) -> tuple[onnxruntime.InferenceSession, dict]:
    remedy = "give a file that python -m espnet_plugins.bin.export_onnx MODEL --out FILE.onnx wrote"
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such file; {remedy}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    # Its errors have no class in common.
    except Exception as error:
        raise ValueError(f"{path}: onnxruntime cannot read it ({' '.join(str(error).split())}); {remedy}") from error
    texts = session.get_modelmeta().custom_metadata_map
    if "sampling_rate" not in texts:
        raise ValueError(f"{path} is another kind of graph; {remedy}")
    strings = ("kind", "form", "ending")
    return session, {name: text if name in strings else json.loads(text) for name, text in texts.items()}


class OnnxEnhancer:
    """A graph of whole utterances.

    Args:
        path: The file.
        threads: Of onnxruntime.
    """

    def __init__(self, path: str, *, threads: int = 1):
        self._session, self.facts = _open(path, threads)
        self.rate = self.facts["sampling_rate"]

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Enhance (T,) samples at `rate`: (T,), or (S, T) with a model of several speakers."""
        samples = np.asarray(waveform, np.float32)[None]
        if samples.ndim != 2 or samples.shape[1] == 0:
            raise ValueError(f"the waveform has shape {np.shape(waveform)}; give (T,) with T above 0")
        (enhanced,) = self._session.run(None, {"waveform": samples})
        return enhanced[0] if len(enhanced) == 1 else enhanced


class OnnxStream:
    """A graph of one step, on samples that come in pieces of any size.

    Args:
        path: The file.
        level: Standard deviation of the utterance, for Demucs, which divides by it; None for that of what was heard so
            far.
        threads: Of onnxruntime.
    """

    def __init__(self, path: str, *, level: float | None = None, threads: int = 1):
        self._session, self.facts = _open(path, threads)
        self.rate = self.facts["sampling_rate"]
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._state = {one["name"]: np.zeros(one["shape"], np.float32) for one in self.facts["states"]}
        self._waiting = np.zeros(0, np.float32)
        self._latest = self._waiting
        self._level, self._moments = level, np.zeros(3)
        self._heard = self._given = 0
        self._started, self._to_be_mirrored = False, self.facts["mirror"] > 0

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take (n,) samples in; gives those that have become certain, (m,) or (S, m)."""
        samples = np.asarray(samples, np.float32)
        self._heard += len(samples)
        self._moments += [len(samples), samples.sum(dtype=float), np.square(samples, dtype=float).sum()]
        return self._shaped(self._take(samples))

    def finish(self) -> np.ndarray:
        """End the stream; gives the samples that were still awaited: together as many as came in."""
        facts, heard, given = self.facts, self._heard, self._given
        if heard == 0:
            return self._shaped(self._nothing())
        pieces = [self._take(np.zeros(max(facts["shortest"] - heard, 0), np.float32))]
        if facts["ending"] == "mirror":
            pieces.append(self._take(self._latest[-2::-1]))
            pieces.append(self._take(np.zeros(facts["hop_length"], np.float32)))
        elif facts["ending"] == "last":
            pieces.append(self._run(self._waiting, last=True))
        else:
            pieces.append(self._state["tail"])
            pieces.append(np.zeros((facts["speakers"], facts["hop_length"]), np.float32))
        return self._shaped(np.concatenate(pieces, axis=1)[:, : heard - given])

    def _nothing(self) -> np.ndarray:
        return np.zeros((self.facts["speakers"], 0), np.float32)

    def _shaped(self, enhanced: np.ndarray) -> np.ndarray:
        return enhanced[0] if len(enhanced) == 1 else enhanced

    def _take(self, samples: np.ndarray) -> np.ndarray:
        """(n,) samples through the graph, as far as they make whole blocks; (S, m)."""
        mirror, hop_length = self.facts["mirror"], self.facts["hop_length"]
        self._waiting = np.concatenate([self._waiting, samples])
        self._latest = np.concatenate([self._latest, samples])[-mirror - 1 :]
        if self._to_be_mirrored:
            if len(self._waiting) <= mirror:
                return self._nothing()
            self._waiting = np.concatenate([self._waiting[mirror:0:-1], self._waiting])
            self._to_be_mirrored = False
        needed = hop_length if self._started else self.facts["first_block"]
        if len(self._waiting) < needed:
            return self._nothing()
        n_taken = needed + (len(self._waiting) - needed) // hop_length * hop_length
        block, self._waiting = np.split(self._waiting, [n_taken])
        return self._run(block)

    def _run(self, block: np.ndarray, *, last: bool = False) -> np.ndarray:
        level = np.array([self._deviation()], np.float32)
        given = {"block": block[None], "level": level, "last": np.array([int(last)])}
        given = {name: value for name, value in given.items() if name in self._inputs} | self._state
        enhanced, *states = self._session.run(None, given)
        self._state = dict(zip(self._state, states, strict=True))
        if not self._started:
            # What was mirrored before the first sample.
            enhanced, self._started = enhanced[:, self.facts["mirror"] :], True
        self._given += enhanced.shape[1]
        return enhanced

    def _deviation(self) -> float:
        if self._level is not None:
            return self._level
        n, total, squares = self._moments
        return max((squares - total**2 / n) / (n - 1), 0.0) ** 0.5 if n > 1 else 0.0


def _enhance_file(model: str, source: str, target: str, *, level: float | None) -> None:
    _, facts = _open(model, 1)
    waveform, rate = soundfile.read(source, dtype="float32")
    if rate != facts["sampling_rate"] or waveform.ndim != 1:
        raise ValueError(
            f"{source} has {rate} Hz and {waveform.size // max(len(waveform), 1)} channels; give one channel of "
            f"{facts['sampling_rate']} Hz"
        )
    if facts["form"] == "whole":
        enhanced = OnnxEnhancer(model)(waveform)
    else:
        stream = OnnxStream(model, level=level)
        pieces = [stream.feed(waveform[start : start + 1000]) for start in range(0, len(waveform), 1000)]
        enhanced = np.concatenate([*pieces, stream.finish()], axis=-1)
    soundfile.write(target, enhanced.T, rate, subtype="FLOAT")


def main() -> None:
    """Enhance one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("source", metavar="IN", help="audio of one channel, at the model's rate")
    parser.add_argument("target", metavar="OUT.wav")
    parser.add_argument("--level", type=float, help="standard deviation of the signal, for a stream through Demucs")
    args = parser.parse_args()
    try:
        _enhance_file(args.model, args.source, args.target, level=args.level)
    except (OSError, ValueError, soundfile.SoundFileError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
