"""Errors of hypotheses in words and characters, through jiwer."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

from espnet_plugins.analysis.scoring.scores import ErrorCounts, UtteranceScore


@functools.cache
def count_errors(reference: str, hypothesis: str) -> tuple[ErrorCounts, ErrorCounts]:
    """Count the errors of one hypothesis.

    Args:
        reference: What was said, words separated by spaces.
        hypothesis: What was recognized; may be empty.

    Returns:
        The counts over words, and over characters (spaces included, as in ESPnet's CER).

    Example:
        >>> words, characters = count_errors("set red two", "set two two")
        >>> words.substitutions, words.reference
        (1, 3)

    Source:
        Minimum edit distance with unit costs, as computed by jiwer.
    """
    import jiwer

    counts = []
    for process in (jiwer.process_words, jiwer.process_characters):
        out = process(reference, hypothesis)
        counts.append(ErrorCounts(out.hits, out.substitutions, out.deletions, out.insertions))
    return counts[0], counts[1]


def score_transcripts(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    *,
    conditions: Mapping[str, str],
    speakers: Mapping[str, str],
) -> dict[str, UtteranceScore]:
    """Score every utterance of the references; one without a hypothesis has all its words deleted.

    Args:
        references: Utterance id -> transcript.
        hypotheses: Utterance id -> recognized words.
        conditions: Utterance id -> noise type and SNR, where known.
        speakers: Utterance id -> speaker, where known.

    Returns:
        Utterance id -> score, sorted by id.

    Raises:
        ValueError: When a hypothesis belongs to no reference, or a reference is empty (its error rate
            has no meaning).

    Example:
        >>> scores = score_transcripts({"u": "a b"}, {}, conditions={}, speakers={})
        >>> scores["u"].words.deletions, scores["u"].hypothesis
        (2, None)
    """
    unknown = sorted(hypotheses.keys() - references.keys())
    if unknown:
        raise ValueError(f"{len(unknown)} hypotheses without a reference, e.g. {unknown[0]}")
    empty = sorted(utt for utt, text in references.items() if not text.split())
    if empty:
        raise ValueError(f"{len(empty)} references are empty, e.g. {empty[0]}")
    scores = {}
    for utt in sorted(references):
        reference, hypothesis = " ".join(references[utt].split()), hypotheses.get(utt)
        hypothesis = None if hypothesis is None else " ".join(hypothesis.split())
        words, characters = count_errors(reference, hypothesis or "")
        scores[utt] = UtteranceScore(
            reference=reference,
            hypothesis=hypothesis,
            words=words,
            characters=characters,
            condition=conditions.get(utt, ""),
            speaker=speakers.get(utt, ""),
        )
    return scores


def align_words(reference: str, hypothesis: str) -> Iterator[tuple[str, str, str]]:
    """Align two transcripts word by word.

    Yields:
        (operation, word of the reference, word of the hypothesis), the operation being one of `equal`,
        `substitute`, `delete`, `insert`; the word is empty where there is none.

    Example:
        >>> list(align_words("red two", "red one two"))
        [('equal', 'red', 'red'), ('insert', '', 'one'), ('equal', 'two', 'two')]
    """
    import jiwer

    out = jiwer.process_words(reference, hypothesis)
    for chunk in out.alignments[0]:
        said = out.references[0][chunk.ref_start_idx : chunk.ref_end_idx]
        heard = out.hypotheses[0][chunk.hyp_start_idx : chunk.hyp_end_idx]
        for i in range(max(len(said), len(heard))):
            yield chunk.type, said[i] if said else "", heard[i] if heard else ""
