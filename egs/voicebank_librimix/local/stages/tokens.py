"""The token list in the format of ESPnet: sentencepiece units, or characters."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from local.common.errors import RecipeError
from local.common.kaldi_dir import Utterance
from local.common.output import atomic_path

# What the preset's `vocabulary` says for characters instead of a number of units.
CHARACTERS = "characters"
SPECIAL = ("<blank>", "<unk>", "<sos/eos>")


def character_tokens(texts: Iterable[str], out: Path) -> list[str]:
    """Write tokens.txt with the characters of the transcripts; `<space>` stands between words.

    Args:
        texts: Normalized transcripts.
        out: Where it goes.

    Returns:
        The tokens in order: <blank>, <unk>, <space>, characters, <sos/eos>.
    """
    blank, unknown, end = SPECIAL
    tokens = [blank, unknown, "<space>", *sorted({c for text in texts for c in text if not c.isspace()}), end]
    with atomic_path(out / "tokens.txt") as tmp:
        tmp.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return tokens


def unknown_characters(utterances: Iterable[Utterance], tokens: Iterable[str]) -> str:
    """Name the characters of transcripts that no token has: they become <unk>, which is never right.

    Args:
        utterances: Of a set.
        tokens: The token list.

    Returns:
        A sentence; empty where there is none.

    Example:
        >>> said = [Utterance(f"a-{i}", "a", "x", ("x",), (text,), "all", 1, 1) for i, text in enumerate(["AB", "AC"])]
        >>> unknown_characters(said, ["<blank>", "<unk>", "A", "B", "<sos/eos>"])
        '1 transcripts have characters that no transcript of train has: C; the first is a-1'
    """
    known = {character for token in tokens if token not in SPECIAL for character in token}
    strange = {u.id: {c for text in u.texts for c in text if not c.isspace()} - known for u in utterances}
    strange = {name: characters for name, characters in strange.items() if characters}
    if not strange:
        return ""
    shown = " ".join(sorted(set().union(*strange.values()))[:20])
    first = next(iter(strange))
    return f"{len(strange)} transcripts have characters that no transcript of train has: {shown}; the first is {first}"


def train_tokens(texts: Iterable[str], out: Path, *, vocabulary: int) -> list[str]:
    """Train byte-pair units (Sennrich et al., 2016) and write bpe.model and tokens.txt.

    Args:
        texts: Normalized transcripts.
        out: Where both files go.
        vocabulary: Tokens at most, with <blank>, <unk> and <sos/eos>; a small corpus may give fewer.

    Returns:
        The tokens in order: <blank>, <unk>, pieces, <sos/eos>.

    Raises:
        RecipeError: When the vocabulary is smaller than the number of characters.
    """
    texts = list(texts)
    characters = {c for text in texts for c in text if not c.isspace()}
    if vocabulary < len(characters) + 1 + len(SPECIAL):
        raise RecipeError(
            f"a vocabulary of {vocabulary} tokens is too small for {len(characters)} characters: "
            f"set `vocabulary` in the preset to at least {len(characters) + 1 + len(SPECIAL)}"
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        # Merges by frequency: the words of a small closed grammar become whole tokens.
        model_type="bpe",
        # <unk> is one of sentencepiece's own pieces.
        vocab_size=vocabulary - len(SPECIAL) + 1,
        hard_vocab_limit=False,
        character_coverage=1.0,
        bos_id=-1,
        eos_id=-1,
        unk_id=0,
        max_sentence_length=1 << 20,
        # Sums over threads come out in another order.
        num_threads=1,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(i) for i in range(1, processor.get_piece_size())]
    tokens = ["<blank>", "<unk>", *pieces, "<sos/eos>"]
    with atomic_path(out / "bpe.model") as tmp:
        tmp.write_bytes(model.getvalue())
    with atomic_path(out / "tokens.txt") as tmp:
        tmp.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return tokens
