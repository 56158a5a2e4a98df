"""Sentences of the synthetic corpus: connected digits with a few command and color words."""

from __future__ import annotations

import numpy as np

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COMMANDS = ("set", "send", "show", "move")
COLORS = ("red", "green", "blue", "white")
ENDINGS = ("now", "again")
VOCABULARY = DIGITS + COMMANDS + COLORS + ENDINGS


def sentence(rng: np.random.Generator) -> str:
    """Draw a sentence of five to nine words, seven on average.

    Args:
        rng: Where the choice comes from.

    Returns:
        Words of VOCABULARY, separated by spaces.

    Example:
        >>> sentence(np.random.default_rng(0))
        'red one eight six nine again'
    """
    words: list[str] = []
    command, color, ending = rng.random(3) < (0.6, 0.75, 0.2)
    if command:
        words.append(str(rng.choice(COMMANDS)))
    if color:
        words.append(str(rng.choice(COLORS)))
    fewest = 5 if len(words) == 0 else 4
    words += rng.choice(DIGITS, size=rng.integers(fewest, fewest + 3)).tolist()
    if ending:
        words.append(str(rng.choice(ENDINGS)))
    return " ".join(words)


def sentences(count: int, rng: np.random.Generator, *, exclude: frozenset[str] = frozenset()) -> list[str]:
    """Draw different sentences.

    Args:
        count: How many.
        rng: Where they come from.
        exclude: Sentences not to draw.

    Returns:
        `count` sentences, no two the same.
    """
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        text = sentence(rng)
        if text not in exclude:
            drawn[text] = None
    return list(drawn)
