"""The token list: ESPnet's format, deterministic, fit for what it was trained on."""

import numpy as np
import pytest
import sentencepiece

from local.common.errors import RecipeError
from local.corpora.synthetic.grammar import sentences
from local.stages.tokens import train_tokens


@pytest.fixture(scope="module")
def texts():
    return [text.upper() for text in sentences(300, np.random.default_rng(0))]


def test_tokens_are_in_espnets_order_and_cover_the_text(tmp_path, texts):
    tokens = train_tokens(texts, tmp_path, vocabulary=60)
    assert tokens[:2] == ["<blank>", "<unk>"]
    assert tokens[-1] == "<sos/eos>"
    assert len(set(tokens)) == len(tokens) <= 60
    assert (tmp_path / "tokens.txt").read_text().splitlines() == tokens
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "bpe.model"))
    for text in texts[:50]:
        pieces = processor.encode(text, out_type=str)
        assert set(pieces) <= set(tokens[2:-1])
        assert processor.decode(pieces) == text


def test_two_trainings_give_the_same_bytes(tmp_path, texts):
    for name in ("a", "b"):
        train_tokens(texts, tmp_path / name, vocabulary=50)
    for file in ("bpe.model", "tokens.txt"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_vocabulary_below_the_characters_is_an_error(tmp_path, texts):
    with pytest.raises(RecipeError, match="set `vocabulary` in the preset to at least"):
        train_tokens(texts, tmp_path, vocabulary=10)
    assert not (tmp_path / "tokens.txt").exists()
