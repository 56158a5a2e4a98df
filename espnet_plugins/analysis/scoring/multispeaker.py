"""Word errors where several people talk, through meeteval."""

from __future__ import annotations

from collections.abc import Sequence

from espnet_plugins.analysis.scoring.scores import ErrorCounts

KINDS = ("cp", "orc")


def count_multispeaker_errors(references: Sequence[str], hypotheses: Sequence[str], *, kind: str = "cp") -> ErrorCounts:
    """Count the errors of one recording with several speakers.

    Args:
        references: What each speaker said.
        hypotheses: What each output channel heard; as many or not as many as speakers.
        kind: "cp": each speaker belongs to one channel, in the best order (cpWER). "orc": each speaker's transcript is
            one utterance that belongs to the best channel, several of them to one if need be (ORC WER).

    Returns:
        The counts over words.

    Raises:
        ValueError: For an unknown kind, or a recording in which nobody said anything.
        ImportError: Without meeteval, saying how to install it.

    Example:
        >>> count_multispeaker_errors(["a b c", "d e"], ["d e", "a x c"]).substitutions  # doctest: +SKIP
        1

    Source:
        cpWER: Watanabe et al., "CHiME-6 challenge", 2020. ORC WER: Sklyar, Piunova, Zheng and Liu, "Multi-turn RNN-T
        for streaming recognition of multi-party speech", ICASSP 2022; computed by meeteval (von Neumann et al., 2023).
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind '{kind}': choose from {', '.join(KINDS)}")
    if not any(reference.split() for reference in references):
        raise ValueError("nobody said anything: an error rate has no meaning")
    try:
        from meeteval.wer import wer
    except ImportError as error:
        raise ImportError("several speakers are scored by meeteval: pip install -e '.[multispeaker]'") from error
    count = wer.cp_word_error_rate if kind == "cp" else wer.orc_word_error_rate
    found = count(list(references), list(hypotheses))
    wrong = found.substitutions + found.deletions
    return ErrorCounts(found.length - wrong, found.substitutions, found.deletions, found.insertions)
