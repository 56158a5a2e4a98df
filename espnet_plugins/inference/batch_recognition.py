"""Recognition in batches, with the transcripts that ESPnet's Speech2Text gives utterance by utterance."""

from __future__ import annotations

import argparse
import inspect
import itertools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from espnet2.asr.encoder.rnn_encoder import RNNEncoder
from espnet2.asr.preencoder.linear import LinearProjection
from espnet2.fileio.datadir_writer import DatadirWriter
from espnet2.layers.global_mvn import GlobalMVN
from espnet2.layers.utterance_mvn import UtteranceMVN
from espnet2.torch_utils.set_all_random_seed import set_all_random_seed
from torch.nn.utils.rnn import pad_sequence

from espnet_plugins.asr.linear import LinearEncoder
from espnet_plugins.asr.normalize import OwnFramesMVN
from espnet_plugins.enh.unpadded import ignores_padding
from espnet_plugins.inference.ctc_search import CTCSearch, Found
from espnet_plugins.inference.depthwise import shift_depthwise
from espnet_plugins.inference.recognizer import check_scores
from espnet_plugins.inference.stock_programs import asr_inference
from espnet_plugins.tasks import RecognitionTask

# Of one speaker: (text, tokens, their numbers, hypothesis), best first.
Results = list[tuple[str | None, list[str], list[int], Any]]

# Utterances that are read, sorted by length and searched together; samples of a padded batch.
_WINDOW = 64
_SAMPLES = 960_000


class NotRecognized(ValueError):
    """Names the utterances that a recognizer cannot take, and why."""


def respects_lengths(model: Any) -> bool:
    """Whether a recognizer or joint model gives an utterance in a padded batch the frames that it gives it alone.

    Args:
        model: Of espnet_plugins.tasks.

    Returns:
        True where that is known of every part.
    """
    front_end = getattr(model, "enh_model", None)
    if front_end is not None:
        model = model.s2t_model
        if not all(ignores_padding(getattr(front_end, part)) for part in ("encoder", "separator", "decoder")):
            return False
    mvn = model.normalize
    # ESPnet's utterance_mvn with norm_vars sees the padding.
    normalizes = isinstance(mvn, GlobalMVN | OwnFramesMVN | None) or (type(mvn) is UtteranceMVN and not mvn.norm_vars)
    return (
        model.frontend is not None
        and ignores_padding(model.frontend)
        and normalizes
        and isinstance(model.preencoder, LinearProjection | None)
        and isinstance(model.encoder, RNNEncoder | LinearEncoder)
        and model.postencoder is None
    )


class BatchRecognizer:
    """Recognizes many utterances.

    Where CTC alone ranks the hypotheses, utterances are searched together, and encoded together, too, where the model
    is known to respect lengths. All else goes through ESPnet, an utterance at a time.

    Args:
        decode: ESPnet's Speech2Text.
        batch_size: Utterances that are encoded together at most.
    """

    def __init__(self, decode: Any, *, batch_size: int):
        self.decode, self.search = decode, _ctc_search(decode)
        self.batch_size = batch_size if respects_lengths(decode.asr_model) else 1
        shift_depthwise(decode.asr_model)

    @torch.no_grad()
    def __call__(self, speech: Mapping[str, np.ndarray]) -> tuple[dict[str, list[Results]], dict[str, str]]:
        """Recognize some utterances.

        Args:
            speech: Utterance -> (T,) samples.

        Returns:
            Utterance -> results of each speaker; utterance -> why there are none.
        """
        frames: dict[str, list[torch.Tensor]] = {}
        if self.search is not None:
            for names in self._batches(speech):
                frames |= self._encode({name: speech[name] for name in names})
        found = self._search_all(frames) if frames else {}
        errors: dict[str, str] = {}
        for name in [name for name in speech if name not in found]:
            try:
                found[name] = self._alone(speech[name], name)
            except (ValueError, RuntimeError) as error:
                errors[name] = str(error)
        return found, errors

    def _batches(self, speech: Mapping[str, np.ndarray]) -> Iterator[list[str]]:
        """Names of utterances of similar lengths, the longest first, as ESPnet's recurrent encoders want them."""
        batch: list[str] = []
        for name in sorted(speech, key=lambda name: len(speech[name]), reverse=True):
            if batch and (len(batch) == self.batch_size or (len(batch) + 1) * len(speech[batch[0]]) > _SAMPLES):
                yield batch
                batch = []
            batch.append(name)
        if batch:
            yield batch

    def _encode(self, speech: Mapping[str, np.ndarray]) -> dict[str, list[torch.Tensor]]:
        """Utterance -> each speaker's log probabilities, (N, V); none where one of them is not for the model."""
        waveforms = [torch.as_tensor(samples).to(getattr(torch, self.decode.dtype)) for samples in speech.values()]
        lengths = torch.tensor([len(samples) for samples in waveforms])
        batch = pad_sequence(waveforms, batch_first=True).to(self.decode.device)
        try:
            frames, counts = self.decode.asr_model.encode(speech=batch, speech_lengths=lengths.to(self.decode.device))
        except (ValueError, RuntimeError, asr_inference.TooShortUttError) as error:
            logging.info(f"{', '.join(speech)}: one by one, since together: {error}")
            return {}
        if not self.decode.enh_s2t_task:
            frames, counts = (frames,), (counts,)
        found: dict[str, list[torch.Tensor]] = {name: [] for name in speech}
        for speaker, numbers in zip(frames, counts, strict=True):
            log_probs = self.decode.asr_model.ctc.log_softmax(speaker)
            for row, (name, n) in enumerate(zip(speech, numbers.tolist(), strict=True)):
                found[name].append(log_probs[row, :n])
        return found

    def _search_all(self, frames: Mapping[str, list[torch.Tensor]]) -> dict[str, list[Results]]:
        """The results of utterances, but of those for which the search finds none or has no numbers to go by."""
        assert self.search is not None
        fit = {
            name: speakers
            for name, speakers in frames.items()
            if all(len(speaker) and not speaker.isnan().any() for speaker in speakers)
        }
        if not fit:
            return {}
        every = list(itertools.chain.from_iterable(fit.values()))
        hypotheses = iter(self.search(pad_sequence(every, batch_first=True), torch.tensor([len(one) for one in every])))
        ranked = {name: list(itertools.islice(hypotheses, len(speakers))) for name, speakers in fit.items()}
        return {
            name: [[self._result(one) for one in speaker[: self.decode.nbest]] for speaker in speakers]
            for name, speakers in ranked.items()
            if all(speakers)
        }

    def _result(self, one: Found) -> tuple[str | None, list[str], list[int], Any]:
        """As Speech2Text words a hypothesis."""
        numbers = [token for token in one.yseq[1:-1] if token != 0]
        tokens = self.decode.converter.ids2tokens(numbers)
        text = None if self.decode.tokenizer is None else self.decode.tokenizer.tokens2text(tokens)
        score = torch.tensor(one.score)
        hypothesis = asr_inference.Hypothesis(
            yseq=torch.tensor(one.yseq), score=score, scores={"ctc": score}, states={}
        )
        return text, tokens, numbers, hypothesis

    def _alone(self, samples: np.ndarray, name: str) -> list[Results]:
        """ESPnet's own way; what is too short for its encoders has the transcript that its program gives it."""
        try:
            results = self.decode(samples)
        except asr_inference.TooShortUttError as error:
            logging.warning(f"{name}, of {len(samples)} samples, is taken for silence: {error}")
            nothing = asr_inference.Hypothesis(yseq=torch.tensor([]), score=torch.tensor(0.0))
            speakers = self.decode.asr_model.enh_model.num_spk if self.decode.enh_s2t_task else 1
            return [[(" ", ["<space>"], [2], nothing)] * self.decode.nbest for _ in range(speakers)]
        speakers = results if self.decode.enh_s2t_task else [results]
        check_scores(speakers)
        return speakers


def _ctc_search(decode: Any) -> CTCSearch | None:
    """The search of utterances together, where there is one: CTC ranks alone, with nothing before or beside it."""
    search = decode.beam_search
    if type(search) is not asr_inference.BatchBeamSearch or decode.multi_asr or search.do_pre_beam:
        return None
    # ESPnet lets the blank win where there are no other tokens than hypotheses; whoever asks for that has it.
    if {*search.scorers} != {"ctc"} or search.hyp_primer is not None or search.beam_size >= search.n_vocab - 1:
        return None
    model = getattr(decode.asr_model, "s2t_model", decode.asr_model)
    if getattr(model.encoder, "interctc_layer_idx", None):
        return None
    return CTCSearch(
        beam_size=search.beam_size,
        sos=search.sos,
        eos=search.eos,
        weight=search.weights["ctc"],
        maxlenratio=decode.maxlenratio,
        minlenratio=decode.minlenratio,
        normalize_length=search.normalize_length,
    )


def recognize_set(args: argparse.Namespace) -> None:
    """Do what espnet2.bin.asr_inference does with these options, for many utterances at a time.

    Args:
        args: Its options; `batch_size`, which it has but ESPnet 202511 does not take, is how many are encoded together.

    Raises:
        NotRecognized: When all others have been recognized.
    """
    logging.basicConfig(level=args.log_level, format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s")
    set_all_random_seed(args.seed)
    accepted = inspect.signature(asr_inference.Speech2Text).parameters
    options = {name: value for name, value in vars(args).items() if name in accepted}
    options |= {"batch_size": 1, "device": "cuda" if args.ngpu else "cpu"}
    decode = asr_inference.Speech2Text.from_pretrained(model_tag=args.model_tag, **options)
    recognizer = BatchRecognizer(decode, batch_size=args.batch_size)
    errors: dict[str, str] = {}
    with DatadirWriter(args.output_dir) as writer:
        for speech in _windows(args, decode):
            found, failed = recognizer(speech)
            errors |= failed
            for name in speech:
                if name in found:
                    _write(writer, name, found[name], several=args.enh_s2t_task)
    if errors:
        raise NotRecognized("; ".join(f"{name}: {why}" for name, why in sorted(errors.items())))


def _windows(args: argparse.Namespace, decode: Any) -> Iterator[dict[str, np.ndarray]]:
    loader = RecognitionTask.build_streaming_iterator(
        args.data_path_and_name_and_type,
        dtype=args.dtype,
        batch_size=1,
        key_file=args.key_file,
        num_workers=args.num_workers,
        preprocess_fn=RecognitionTask.build_preprocess_fn(decode.asr_train_args, False),
        collate_fn=RecognitionTask.build_collate_fn(decode.asr_train_args, False),
        allow_variable_data_keys=args.allow_variable_data_keys,
        inference=True,
    )
    utterances = iter(loader)
    while window := list(itertools.islice(utterances, _WINDOW)):
        yield {names[0]: batch["speech"][0].numpy() for names, batch in window}


def _write(writer: DatadirWriter, name: str, speakers: list[Results], *, several: bool) -> None:
    """As ESPnet's program writes them."""
    for number, results in enumerate(speakers, 1):
        suffix = f"_spk{number}" if several else ""
        for rank, (text, tokens, numbers, hypothesis) in enumerate(results, 1):
            folder = writer[f"{rank}best_recog"]
            folder[f"token{suffix}"][name] = " ".join(tokens)
            folder[f"token_int{suffix}"][name] = " ".join(map(str, numbers))
            folder[f"score{suffix}"][name] = str(hypothesis.score)
            if text is not None:
                folder[f"text{suffix}"][name] = text
