"""A trained recognizer, or front-end and recognizer, as one call."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_plugins.checks import check_number
from espnet_plugins.inference.audio import as_channels, resample
from espnet_plugins.inference.experiment import check_files, config_file, find_experiment
from espnet_plugins.inference.overlap import cut_at_pauses
from espnet_plugins.inference.pretrained import fetch_pretrained

_FRAME_SECONDS = 0.02
_SHORTEST_SECONDS = 0.1


def _n_tokens(token_list: str | Sequence[str]) -> int:
    if isinstance(token_list, str):
        return len(Path(token_list).read_text(encoding="utf-8").splitlines())
    return len(token_list)


def check_scores(speakers: Iterable[Sequence[tuple]]) -> None:
    """Refuse hypotheses that were ranked by what is no number: any of them could have been the best.

    Args:
        speakers: Of each the results of ESPnet's Speech2Text, whose last field is the hypothesis.

    Raises:
        ValueError: When there is none, or a score is no number.
    """
    for results in speakers:
        if not results or any(math.isnan(float(result[-1].score)) for result in results):
            raise ValueError("not recognized: what the model gives holds values that are no numbers")


class Recognizer:
    """Recognizes waveforms of any rate, channel count and length.

    Args:
        decode: ESPnet's Speech2Text.
        joint: Whether it enhances first.
        rate: Samples per second that it was trained at.
        longest: Seconds of the longest piece; longer waveforms are cut where they are most quiet.

    Raises:
        ValueError: When `longest` is below one second.
    """

    def __init__(self, decode: Any, *, joint: bool, rate: int = 16000, longest: float = 30.0):
        self.decode, self.joint, self.rate = decode, joint, rate
        self._n_speakers = decode.asr_model.enh_model.num_spk if joint else 1
        self.longest = check_number("longest", longest, low=1)

    @classmethod
    def from_checkpoint(
        cls,
        model: str | PathLike[str],
        *,
        config: str | PathLike[str] | None = None,
        bpemodel: str | PathLike[str] | None = None,
        moved: Mapping[str, str] | None = None,
        device: str = "cpu",
        beam_size: int = 10,
        ctc_weight: float | None = None,
        rate: int = 16000,
        longest: float = 30.0,
    ) -> Recognizer:
        """Load a recognizer or a joint model.

        Args:
            model: A model file or a training's directory; see
                :func:`~espnet_plugins.inference.experiment.find_experiment`.
            config: Its config.yaml where it is not beside the model.
            bpemodel: sentencepiece model, where it is not where the training had it.
            moved: Beginnings of paths in the configuration (upstream, statistics, sentencepiece model), and what stands
                there now.
            device: Where to compute.
            beam_size: Hypotheses of the beam search.
            ctc_weight: Weight of CTC in the search, 0 to 1; left out: 1 for a model of CTC alone, else 0.3.
            rate: Samples per second that it was trained at.
            longest: As the constructor's.

        Returns:
            The recognizer.

        Raises:
            FileNotFoundError: For a missing model or configuration, or a file that the configuration names.
            ValueError: For a front-end alone, or weights that do not fit.
        """
        from espnet_plugins.inference.stock_programs import asr_inference

        experiment = find_experiment(model, config=config, moved=moved)
        if experiment.kind == "enh":
            raise ValueError(f"{experiment.config} is a front-end: it recognizes nothing; give a recognizer")
        settings = dict(experiment.settings)
        joint = experiment.kind == "joint"
        if bpemodel is not None:
            settings["bpemodel"] = str(bpemodel)
        bpemodel = settings.get("bpemodel")
        if settings.get("token_type") == "bpe" and (bpemodel is None or not Path(bpemodel).is_file()):
            raise FileNotFoundError(
                f"sentencepiece model {bpemodel}: no such file; give it as `bpemodel` (--bpemodel FILE)"
            )
        if joint:
            # An exported model has ESPnet's option of the loss, which plays no part here.
            own = settings.get("model_conf") or {}
            settings["model_conf"] = {key: value for key, value in own.items() if key != "calc_enh_loss"}
        experiment = replace(experiment, settings=settings)
        check_files(experiment)
        conf = settings.get("asr_model_conf" if joint else "model_conf") or {}
        if ctc_weight is None:
            ctc_weight = 1.0 if conf.get("ctc_weight") == 1.0 else 0.3
        with config_file(experiment) as config_path:
            decode = asr_inference.Speech2Text(
                asr_train_config=str(config_path),
                asr_model_file=str(experiment.weights),
                bpemodel=bpemodel,
                token_type=settings.get("token_type"),
                device=device,
                # ESPnet's search fails where there are fewer tokens than hypotheses.
                beam_size=min(beam_size, _n_tokens(settings["token_list"])),
                ctc_weight=check_number("ctc_weight", ctc_weight, low=0, high=1),
                enh_s2t_task=joint,
            )
        if decode.tokenizer is None:
            # ESPnet would give tokens and no words.
            raise ValueError(f"{experiment.config}: token_type is {settings.get('token_type')!r}: no words can be made")
        return cls(decode, joint=joint, rate=rate, longest=longest)

    @classmethod
    def from_pretrained(
        cls, source: str | PathLike[str], *, cache: str | PathLike[str] | None = None, **options
    ) -> Recognizer:
        """Load a model that was passed on; as :meth:`Enhancer.from_pretrained`, with from_checkpoint()'s options."""
        model, config = fetch_pretrained(source, cache=cache)
        return cls.from_checkpoint(model, **{"config": config, **options})

    @property
    def n_speakers(self) -> int:
        """How many transcripts one waveform gives."""
        return self._n_speakers

    @torch.inference_mode()
    def __call__(self, waveform: np.ndarray, rate: int) -> str | list[str]:
        """Recognize a waveform.

        Args:
            waveform: (T,) or (T, C), as soundfile gives it; channels are averaged.
            rate: Samples per second.

        Returns:
            The words; with a model of several speakers a list, one for each.

        Raises:
            AudioError: For another shape, no samples, or values that are not finite.
        """
        mono = resample(as_channels(waveform).mean(axis=1, keepdims=True), rate, self.rate)[:, 0]
        mono = np.pad(mono, (0, max(round(_SHORTEST_SECONDS * self.rate) - len(mono), 0)))
        pieces = cut_at_pauses(mono, longest=round(self.longest * self.rate), frame=round(_FRAME_SECONDS * self.rate))
        # The rest behind the last pause may be too short for a frame.
        pieces = [piece for piece in pieces if len(piece) >= round(_SHORTEST_SECONDS * self.rate)]
        texts = [self._recognize(piece) for piece in pieces]
        joined = [" ".join(filter(None, words)) for words in zip(*texts, strict=True)]
        return joined[0] if self.n_speakers == 1 else joined

    def _recognize(self, piece: np.ndarray) -> list[str]:
        results = self.decode(piece)
        speakers = results if self.joint else [results]
        check_scores(speakers)
        return [(speaker[0][0] or "").strip() for speaker in speakers]
