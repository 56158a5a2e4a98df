"""Phones: what words are made of, data directories with phones, and what is left out."""

import argparse
import dataclasses

import numpy as np
import pytest
import soundfile

from local.common import kaldi_dir
from local.common.errors import RecipeError
from local.common.kaldi_dir import Utterance
from local.common.recipe import Recipe, add_common_arguments
from local.corpora.synthetic.grammar import VOCABULARY
from local.stages.phones import LEXICON_ADDRESS, espeak_lexicon, prepare_phones, pronounced, read_lexicon


def test_the_synthesizer_tells_its_words_apart():
    lexicon = espeak_lexicon([word.upper() for word in VOCABULARY])
    assert len({*lexicon.values()}) == len(VOCABULARY)
    assert lexicon["THREE"] == ("T", "r", "i:")
    phones = {phone for word in lexicon.values() for phone in word}
    assert 20 <= len(phones) <= 40
    assert not {"'", ","} & {character for phone in phones for character in phone}


def test_a_lexicon_in_the_form_of_librispeech(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text("A\tAH0\nA(2) EY1\n\nABLE  EY1 B AH0 L\nABLE EY1 B L\n")
    lexicon = read_lexicon(path)
    assert lexicon["ABLE"] == ("EY1", "B", "AH0", "L")
    assert lexicon["A"] == ("AH0",)
    path.write_text("A AH0\nABLE\n")
    with pytest.raises(RecipeError, match=r"lexicon.txt, line 2: 'ABLE' has no phones"):
        read_lexicon(path)
    with pytest.raises(RecipeError, match=f"fetch it from {LEXICON_ADDRESS}"):
        read_lexicon(tmp_path / "none.txt")


def utterance(key, text, tmp_path):
    path = tmp_path / f"{key}.wav"
    soundfile.write(path, np.zeros(1600), 16000)
    return Utterance(key, "spk", str(path), (str(path),), (text,), "babble_5dB", 1600, 16000)


def test_utterances_with_unknown_words_are_left_out(tmp_path):
    known, unknown = pronounced(
        [utterance("spk1", "RED TWO", tmp_path), utterance("spk2", "RED QUARTZ", tmp_path)],
        {"RED": ("r", "E", "d"), "TWO": ("t", "u:")},
    )
    assert [u.texts for u in known] == [("r E d t u:",)]
    assert unknown == {"QUARTZ"}


@pytest.fixture
def recipe(tmp_path):
    options = [
        "--preset",
        "paper_mini",
        *(f"--{name}={tmp_path / name}" for name in ("downloads", "dumpdir", "expdir")),
    ]
    recipe = Recipe.from_args(add_common_arguments(argparse.ArgumentParser()).parse_args(options))
    for name in ("train", "dev", *recipe.preset["test"]):
        made = [utterance("spk1", "RED TWO", tmp_path), utterance("spk2", "SEVEN", tmp_path)]
        kaldi_dir.write(recipe.dumpdir / name, made, categories=name not in ("train", "dev"))
        recipe.dump_done(name).write_text('{"fingerprint": "x"}')
    return recipe


def test_every_set_gets_a_data_directory_of_phones(recipe):
    prepare_phones(recipe)
    folder = recipe.dumpdir / "phones"
    assert kaldi_dir.read_table(folder / "train" / "text_spk1") == {"spk1": "r E d t u:", "spk2": "s E v @ n"}
    written = kaldi_dir.read(folder / "test_seen")
    source = kaldi_dir.read(recipe.dumpdir / "test_seen")
    assert [dataclasses.replace(u, texts=s.texts) for u, s in zip(written, source, strict=True)] == source
    assert (folder / "lexicon.txt").read_text().splitlines()[0] == "RED r E d"
    tokens = (folder / "tokens.txt").read_text().split()
    assert tokens == ["<blank>", "<unk>", *sorted({*["r", "E", "d", "t", "u:", "s", "v", "@", "n"]}), "<sos/eos>"]
    assert not (folder / "train" / "utt2category").exists()


def test_a_set_without_a_known_word(recipe):
    recipe.preset["lexicon"] = "own.txt"
    recipe.downloads.mkdir()
    (recipe.downloads / "own.txt").write_text("BLUE b l u:\n")
    with pytest.raises(RecipeError, match="train: no utterance consists of words of the lexicon alone"):
        prepare_phones(recipe)
