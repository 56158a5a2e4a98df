"""Tables of an own corpus, as editors and spreadsheets save them."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

from fuzz_mutations import WORDS, Tree, changed_files
from hypothesis import strategies as st

from fuzz_targets import audio
from fuzz_targets.target import Target, call_all, in_this_process
from local.common.errors import RecipeError
from local.corpora import clean_speech, csv_corpus

_OWN = 'utt,clean,noisy,text,speaker,noise,snr\na1,a.wav,b.wav,"Yes, sir",a,hum,5\na2,a.wav,b.wav,No,a,hum,-2.5\n'
_SPOKEN = "utt;clean;speaker;text;part\na1;a.wav;a;Oui;x\na2;a.wav;a;;x\n"


def _tables() -> list[Tree]:
    sounds = audio.sounds()
    rest = {"a.wav": sounds["a.wav"], "b.wav": sounds["a.wav"]}
    encodings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le")
    return [{"own.csv": _OWN.encode(name), **rest} for name in encodings] + [{"spoken.csv": _SPOKEN.encode(), **rest}]


def _changed_cells(table: str, rest: Tree) -> st.SearchStrategy[Tree]:
    """Other fields in a table that is whole as one, saved as some program would save it."""
    rows = list(csv.reader(io.StringIO(table), delimiter=";" if ";" in table.partition("\n")[0] else ","))
    texts = st.one_of(st.sampled_from([word.decode("utf-8", "replace") for word in WORDS]), st.text(max_size=8))
    change = st.tuples(st.integers(0, 7), st.integers(0, 15), texts)
    form = st.fixed_dictionaries(
        {
            "delimiter": st.sampled_from(",;\t|"),
            "quoting": st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
            "lineterminator": st.sampled_from(("\n", "\r\n", "\r")),
        }
    )

    def save(drawn: tuple[list[tuple[int, int, str]], dict, str, str]) -> Tree:
        changes, options, encoding, first = drawn
        made = [list(row) for row in rows]
        for row, column, text in changes:
            made[row % len(made)][column % len(made[0])] = text
        stream = io.StringIO()
        stream.write(first.format(options["delimiter"], options["lineterminator"]))
        csv.writer(stream, **options).writerows(made)
        return {**rest, "own.csv": stream.getvalue().encode(encoding, "replace")}

    encodings = st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252", "latin-1"))
    firsts = st.sampled_from(("", "", "sep={}{}"))
    return st.tuples(st.lists(change, max_size=3), form, encodings, firsts).map(save)


def _cases() -> st.SearchStrategy[Tree]:
    def changed(tree: Tree) -> st.SearchStrategy[Tree]:
        (name,) = (name for name in tree if name.endswith(".csv"))
        return changed_files({name: tree[name]}, text=True).map(lambda made: {**tree, **made})

    rest = {name: content for name, content in _tables()[0].items() if not name.endswith(".csv")}
    cells = [_changed_cells(table, rest) for table in (_OWN, _SPOKEN)]
    return st.one_of(*cells, *[changed(tree) for tree in _tables()])


def _read(folder: Path, out: Path) -> None:
    with in_this_process():
        for path in folder.glob("*.csv"):
            call_all(
                folder, RecipeError, [partial(csv_corpus.utterances, path), partial(clean_speech.from_table, path)]
            )


TARGET = Target("tables", _tables, _cases, _read, (RecipeError,))
