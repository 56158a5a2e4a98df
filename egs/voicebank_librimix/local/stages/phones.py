"""Stage 2, phone recognition: what each word is made of, and the data directories whose transcripts are phones."""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from local.common import kaldi_dir
from local.common.errors import RecipeError
from local.common.kaldi_dir import Utterance
from local.common.output import atomic_path, log
from local.common.recipe import Recipe
from local.common.sets import COMBINED
from local.common.stages import Stage
from local.common.steps import Step
from local.corpora.synthetic.voices import espeak_library
from local.stages.tokens import SPECIAL

LEXICON_ADDRESS = "https://www.openslr.org/resources/11/librispeech-lexicon.txt"
_STRESS = ("'", ",")
_CHARS_UTF8 = 1
# Between two phones of one word, in what espeak-ng gives back.
_SEPARATOR = "_"


def espeak_lexicon(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What espeak-ng's American English makes of words, as it speaks them; marks of stress are left out.

    Args:
        words: In capitals or not.

    Returns:
        Word -> phones in espeak-ng's notation.

    Raises:
        RecipeError: When it has no phones for a word.

    Example:
        >>> espeak_lexicon(["SEVEN", "white"])
        {'SEVEN': ('s', 'E', 'v', '@', 'n'), 'white': ('w', 'aI', 't')}
    """
    library, _ = espeak_library()
    if library.espeak_SetVoiceByName(b"en-us") != 0:
        raise RecipeError("espeak-ng has no voice 'en-us'")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    lexicon = {}
    for word in words:
        # The function moves the pointer on to the next clause; a word is one.
        text = ctypes.c_char_p(word.lower().encode())
        spoken = library.espeak_TextToPhonemes(ctypes.byref(text), _CHARS_UTF8, ord(_SEPARATOR) << 8).decode()
        bare = spoken.translate(str.maketrans(dict.fromkeys(_STRESS, "")))
        lexicon[word] = tuple(phone for phone in bare.replace(" ", _SEPARATOR).split(_SEPARATOR) if phone)
        if not lexicon[word]:
            raise RecipeError(f"espeak-ng gives no phones for '{word}'")
    return lexicon


def read_lexicon(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a lexicon in the form of LibriSpeech's: `WORD PHONE PHONE ...`; of several pronunciations the first counts.

    Args:
        path: The file.

    Returns:
        Word in capitals -> phones.

    Raises:
        RecipeError: When it is missing, or a line has no phones.
    """
    if not path.is_file():
        raise RecipeError(f"{path} is missing: fetch it from {LEXICON_ADDRESS}, or set `lexicon` in the preset")
    lexicon: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(kaldi_dir.read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        word, *phones = line.split()
        if not phones:
            raise RecipeError(f"{path}, line {number}: '{word}' has no phones")
        lexicon.setdefault(word.upper(), tuple(phones))
    return lexicon


def pronounced(
    utterances: Sequence[Utterance], lexicon: Mapping[str, Sequence[str]]
) -> tuple[list[Utterance], set[str]]:
    """Put phones in place of the words.

    Args:
        utterances: Of a set.
        lexicon: Word -> phones.

    Returns:
        The utterances all of whose words are known, with phones as texts, and the words that are not known.

    Example:
        >>> u = Utterance("a", "a", "a.wav", ("a.wav",), ("RED TWO",), "x", 1, 1)
        >>> known, unknown = pronounced([u], {"RED": ["r", "E", "d"], "TWO": ["t", "u:"]})
        >>> known[0].texts, unknown
        (('r E d t u:',), set())
    """
    known, unknown = [], set()
    for utterance in utterances:
        missing = {word for text in utterance.texts for word in text.split() if word not in lexicon}
        unknown |= missing
        if not missing:
            texts = tuple(" ".join(p for word in text.split() for p in lexicon[word]) for text in utterance.texts)
            known.append(dataclasses.replace(utterance, texts=texts))
    return known, unknown


def phones_step(recipe: Recipe) -> Step:
    """The step that leaves `<dump>/phones`: a data directory for train, dev and every test set, lexicon, tokens."""
    names = [*COMBINED, *recipe.preset["test"]]
    inputs = {name: (recipe.dump_done(name), Stage.DATA) for name in names}
    lexicon = _lexicon_file(recipe)
    if lexicon is not None:
        inputs["lexicon"] = (lexicon, Stage.CORPORA)
    return Step(
        "phones",
        stage=Stage.DATA,
        out=recipe.dumpdir / "phones",
        inputs=inputs,
        settings={"lexicon": recipe.preset["lexicon"]},
        outputs=(*names, "lexicon.txt", "tokens.txt"),
    )


def _lexicon_file(recipe: Recipe) -> Path | None:
    named = recipe.preset["lexicon"]
    return None if named == "espeak" else recipe.downloads / named


def prepare_phones(recipe: Recipe) -> None:
    """Write the phone transcripts of every set that is trained on, selected by or tested on.

    Raises:
        RecipeError: When a set has no utterance left, or there is no lexicon.
    """
    path = _lexicon_file(recipe)
    known = None if path is None else read_lexicon(path)
    step = phones_step(recipe)

    def write() -> None:
        # Whose words are not known, whose phones are not either.
        sets = {
            name: kaldi_dir.read(kaldi_dir.transcribed(recipe.dumpdir / name))
            for name in (*COMBINED, *recipe.preset["test"])
        }
        texts = [text for utterances in sets.values() for u in utterances for text in u.texts]
        words = sorted({word for text in texts for word in text.split()})
        lexicon = espeak_lexicon(words) if known is None else known
        phones: set[str] = set()
        for name, utterances in sets.items():
            spoken, unknown = pronounced(utterances, lexicon)
            if unknown:
                shown = ", ".join(sorted(unknown)[:5])
                log(f"phones: {name}: {len(utterances) - len(spoken)} utterances left out, for words such as {shown}")
            if not spoken:
                raise RecipeError(f"{name}: no utterance consists of words of the lexicon alone")
            # ESPnet's trainers would keep every batch within a category.
            kaldi_dir.write(step.out / name, spoken, categories=name not in COMBINED)
            phones |= {phone for u in spoken for text in u.texts for phone in text.split()}
        with atomic_path(step.out / "lexicon.txt") as tmp:
            lines = [f"{word} {' '.join(lexicon[word])}\n" for word in words if word in lexicon]
            tmp.write_text("".join(lines), encoding="utf-8")
        blank, unknown_token, end = SPECIAL
        with atomic_path(step.out / "tokens.txt") as tmp:
            tokens = [blank, unknown_token, *sorted(phones), end]
            tmp.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
        log(f"phones: {len(phones)}")

    step.run(write)
