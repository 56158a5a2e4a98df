"""Transcripts for recognition: one written set of rules for every corpus."""

from __future__ import annotations

import re

# As LibriSpeech writes them, which the SSL models and language models have seen.
_ABBREVIATIONS = {"MR": "MISTER", "MRS": "MISSUS", "DR": "DOCTOR", "MESSRS": "MESSIEURS"}
# Typographic quotation marks and accents that stand for apostrophes.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u0060\u00b4", "'"))
_SYMBOLS = {"&": " AND ", "%": " PER CENT "}


def normalise(text: str) -> str:
    """Bring a transcript into the form of LibriSpeech: capitals, apostrophes inside words, single spaces.

    The rules, in order: typographic apostrophes become plain ones; "&" and "%" are spoken; capitals; every
    other mark becomes a space, so that "one-third" is two words and a full stop without a space after it
    still ends a word; an apostrophe stays between letters only, so that quotation marks vanish;
    abbreviations of titles are spelled out. Digits stay as they are.

    Args:
        text: A transcript in any case, with punctuation.

    Returns:
        The normalised transcript; empty when there was no word.

    Example:
        >>> normalise('Mr Brown isn\\u2019t one-third blue.She said: "It\\'s \\'fine\\'."')
        "MISTER BROWN ISN'T ONE THIRD BLUE SHE SAID IT'S FINE"
    """
    text = text.translate(_APOSTROPHES)
    for symbol, words in _SYMBOLS.items():
        text = text.replace(symbol, words)
    text = re.sub(r"[^\w']|_", " ", text.upper())
    text = re.sub(r"(?<!\w)'|'(?!\w)", " ", text)
    return " ".join(_ABBREVIATIONS.get(word, word) for word in text.split())
