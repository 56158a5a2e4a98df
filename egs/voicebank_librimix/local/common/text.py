"""Transcripts for recognition: one written set of rules for every corpus."""

from __future__ import annotations

import unicodedata

# As LibriSpeech writes them, which the SSL models and language models have seen.
_ABBREVIATIONS = {"MR": "MISTER", "MRS": "MISSUS", "DR": "DOCTOR", "MESSRS": "MESSIEURS"}
# Typographic quotation marks, accents and letters that stand for apostrophes.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u0060\u00b4\u02bc\uff07", "'"))
# Marks that belong to a word where they stand inside it: the apostrophe, Catalan's raised dot, Hebrew's geresh and
# gershayim, and the joiners of Persian and the scripts of India.
_INSIDE = {"'", "\u00b7", "\u05f3", "\u05f4", "\u200c", "\u200d"}
# What stands inside Armenian words and belongs to the sentence; signs that choose a letter's or an emoji's shape.
_DROPPED = {"\u055a", "\u055b", "\u055c", "\u055e", *map(chr, range(0xFE00, 0xFE10))}
# Of the formatting characters the one that ends a word, in scripts without blanks.
_ZERO_WIDTH_SPACE = "\u200b"
_SYMBOLS = {"&": " AND ", "%": " PER CENT "}


def _belongs(character: str) -> bool:
    """Whether it is part of a word: a letter, a combining mark or a number of any script."""
    return unicodedata.category(character)[0] in "LMN"


def _only_marks(text: str) -> str:
    """A word without the combining marks that it begins with: they have nothing to combine with."""
    while text and unicodedata.category(text[0])[0] == "M":
        text = text[1:]
    return text


def normalize(text: str) -> str:
    """Bring a transcript into the form of LibriSpeech: capitals, apostrophes inside words, single spaces.

    The rules, in order: characters are composed (NFC); typographic apostrophes become plain ones; "&" and "%" are
    spoken; capitals; what is no letter, combining mark or number of any script becomes a space, so that "one-third" is
    two words and a full stop without a space after it still ends a word; an apostrophe, and what other scripts write
    inside words, stays between letters only, so that quotation marks vanish; abbreviations of titles are spelled out.
    Digits stay as they are.

    Args:
        text: A transcript in any case and script, with punctuation.

    Returns:
        The normalized transcript; empty when there was no word.

    Example:
        >>> normalize('Mr Brown isn\\u2019t one-third blue.She said: "It\\'s \\'fine\\'."')
        "MISTER BROWN ISN'T ONE THIRD BLUE SHE SAID IT'S FINE"
        >>> normalize("De\\u0301ja\\u0300 vu!") == "D\\u00c9J\\u00c0 VU"
        True
    """
    text = unicodedata.normalize("NFC", text).translate(_APOSTROPHES)
    for symbol, spelled in _SYMBOLS.items():
        text = text.replace(symbol, spelled)
    # Capitals of some letters are several, not composed yet.
    text = unicodedata.normalize("NFC", text.upper()).translate(_APOSTROPHES)
    kept = []
    for character in text:
        if character in _INSIDE or (_belongs(character) and character not in _DROPPED):
            kept.append(character)
        elif character in _DROPPED or (unicodedata.category(character) == "Cf" and character != _ZERO_WIDTH_SPACE):
            continue
        else:
            kept.append(" ")
    padded = [" ", *kept, " "]
    inside = [
        " " if here in _INSIDE and not (_belongs(before) and _belongs(after)) else here
        for before, here, after in zip(padded, padded[1:], padded[2:], strict=False)
    ]
    words = [word for part in "".join(inside).split() if (word := _only_marks(part))]
    return " ".join(_ABBREVIATIONS.get(word, word) for word in words)
