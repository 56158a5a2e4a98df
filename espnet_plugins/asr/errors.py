"""Error rates of greedy CTC decoding, for the development curve of a training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import editdistance
import torch

_BLANK = 0
# How sentencepiece marks the start of a word.
_WORD_START = "\u2581"


def to_text(tokens: Sequence[int], token_list: Sequence[str], *, space: str = "<space>") -> str:
    r"""Join tokens to words.

    Args:
        tokens: Numbers in `token_list`.
        token_list: ESPnet's token list: sentencepiece pieces, characters or words.
        space: The token that stands for a blank, in character lists.

    Returns:
        Words, separated by single blanks.

    Example:
        >>> to_text([2, 1, 2], ["<blank>", "e", "\u2581se"])
        'see se'
    """
    joined = "".join(token_list[token] for token in tokens)
    return " ".join(joined.replace(space, " ").replace(_WORD_START, " ").split())


def greedy_error_rates(
    log_probs: torch.Tensor,
    lengths: torch.Tensor,
    references: torch.Tensor,
    reference_lengths: torch.Tensor,
    token_list: Sequence[str],
) -> tuple[float, float]:
    r"""Word and character error rate of the best CTC path.

    ESPnet's own statistic counts what a model says behind an utterance's end in a padded batch; this does
    not.

    Args:
        log_probs: (B, N, V) scores of the tokens, blank first.
        lengths: (B,) valid frames.
        references: (B, L) tokens.
        reference_lengths: (B,) valid tokens.
        token_list: Of V tokens.

    Returns:
        Word and character error rate, as fractions of the references' words and characters.

    Example:
        >>> scores = torch.eye(3)[[1, 1, 0, 2, 1]][None]
        >>> rates = greedy_error_rates(scores, torch.tensor([4]), torch.tensor([[1, 2]]), torch.tensor([2]),
        ...                            ["<blank>", "\u2581a", "\u2581b"])
        >>> rates
        (0.0, 0.0)
    """
    word_errors = words = character_errors = characters = 0
    paths = log_probs.argmax(dim=-1).cpu()
    pairs = zip(paths, lengths.tolist(), references.cpu(), reference_lengths.tolist(), strict=True)
    for path, n_frames, reference, n_tokens in pairs:
        best = [token for token, _ in groupby(path[:n_frames].tolist()) if token != _BLANK]
        hyp, ref = to_text(best, token_list), to_text(reference[:n_tokens].tolist(), token_list)
        word_errors += editdistance.eval(hyp.split(), ref.split())
        words += len(ref.split())
        character_errors += editdistance.eval(hyp, ref)
        characters += len(ref)
    return word_errors / max(words, 1), character_errors / max(characters, 1)
