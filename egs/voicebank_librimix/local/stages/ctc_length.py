"""Transcripts that are longer than CTC can emit: their loss is infinite, counts 0, and teaches nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from local.common.audio import SAMPLE_RATE
from local.common.kaldi_dir import Utterance
from local.common.recipe import Recipe
from local.stages.espnet_commands import merged_config

# Of the SSL models: a frame each 20 ms, each seeing 25 ms.
_HOP, _FIELD = SAMPLE_RATE // 50, SAMPLE_RATE // 40
_SHOWN = 5

# Gives the tokens of a transcript.
Tokenize = Callable[[str], Sequence[str]]


def token_counter(folder: Path, *, characters: bool) -> Tokenize:
    """What turns a transcript into tokens.

    Args:
        folder: With bpe.model, unless tokens are characters.
        characters: Whether they are.
    """
    if characters:
        return lambda text: list(text)
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "bpe.model"))
    return lambda text: processor.encode(text, out_type=str)


def subsampling(recipe: Recipe) -> tuple[int, ...]:
    """The factors by which the recognizer's layers shorten their input."""
    conf = merged_config(recipe, ["train_asr.yaml"]).get("encoder_conf") or {}
    factors = conf.get("subsample") or ()
    return tuple(int(factor) for factor in factors)


def frames(samples: int, subsample: Sequence[int]) -> int:
    """How many tokens and blanks can be emitted over some audio.

    Args:
        samples: At 16 kHz.
        subsample: Factors of the recognizer's layers, each rounding up.

    Example:
        >>> frames(16000, ()), frames(16000, (2, 2))
        (49, 13)
    """
    count = max((samples - _FIELD) // _HOP + 1, 0)
    for factor in subsample:
        count = -(-count // factor)
    return count


def needed(tokens: Sequence[str]) -> int:
    """How many frames a sequence needs: one for each token, and a blank between two that are the same.

    Example:
        >>> needed("HELLO"), needed("HE"), needed("")
        (6, 2, 0)
    """
    return len(tokens) + sum(a == b for a, b in itertools.pairwise(tokens))


def describe(utterances: Sequence[Utterance], tokenize: Tokenize, *, subsample: Sequence[int]) -> str:
    """Count and name the utterances that CTC cannot emit.

    Args:
        utterances: At 16 kHz.
        tokenize: Gives the tokens of a transcript.
        subsample: Factors of the recognizer's layers.

    Returns:
        A sentence; empty when there is none.
    """
    long = [u.id for u in utterances if any(needed(tokenize(t)) > frames(u.samples, subsample) for t in u.texts)]
    if not long:
        return ""
    more = f" and {len(long) - _SHOWN} more" if len(long) > _SHOWN else ""
    return (
        f"{len(long)} of {len(utterances)} transcripts are longer than CTC can emit: {', '.join(long[:_SHOWN])}{more}; "
        "their recognition loss counts 0 (more frames: encoder_conf: subsample; fewer tokens: a larger vocabulary)"
    )
