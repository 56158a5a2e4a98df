"""One spelling and one word for each concept (CONTRIBUTING.md, Words), in identifiers, options, docs and comments."""

import functools
import re

import pytest
from places import RECIPE, ROOT

FOLDERS = ("espnet_plugins", "benchmarks", "docs", "examples", "findings", "tests", "tools", "results/reading")
FOLDERS = [*(ROOT / name for name in FOLDERS), RECIPE / "conf", RECIPE / "local"]
SUFFIXES = (".py", ".sh", ".md", ".yaml", ".yml", ".html", ".ipynb", ".in")
FILES = [path for folder in FOLDERS for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]
FILES += [path for folder in (ROOT, RECIPE) for pattern in ("*.md", "*.sh") for path in sorted(folder.glob(pattern))]

STEMS = "recogni normali optimi regulari equali quanti emphasi initiali summari synthesi finali minimi maximi organi"
BRITISH = re.compile(
    rf"(?:{'|'.join(STEMS.split())})s(?:e|ing|ation|able)"
    r"|(?:behavi|^_*col|_col|neighb|hon|fav)our|centre|licence|artefact|analyse|labelled$|modelling|learnt",
    re.IGNORECASE,
)
# Words of before.
FORMER = re.compile(r"curriculum|blemish|hears_|_hears|^_?(?:RATE|WALL|FAINT)$|^twins?$")
# Names in files, options and keys of before, which are read until the next release.
KEPT = {
    "CHANGELOG.md": None,
    "tests/test_vocabulary.py": None,
    "run.sh": {"accept_licences"},
    "local/common/objectives.py": {"recogniser"},
    "espnet_plugins/packing/pack.py": {"LICENCE"},
    "local/corpora/acquire.py": {"licences_accepted"},
    "local/corpora/registry.py": {"licence"},
    "local/stages/decode_steps.py": {"recognise"},
    "espnet_plugins/checks.py": {"recogniser"},
    "espnet_plugins/objectives/mimic.py": {"recogniser"},
    "tests/objectives/test_mimic.py": {"recogniser"},
    "tests/recipe/common/test_user_modules.py": {"recogniser"},
    # The file of a folder of noises.
    "tests/recipe/corpora/test_noisy_speech.py": {"LICENCES"},
    "tests/recipe/corpora/test_catalogue.py": {"licence", "test_a_registry_may_say_licence"},
    "tests/recipe/pipeline/test_run_sh.py": {"accept_licences"},
    "tests/recipe/stages/test_report.py": {"recognise"},
    "tests/recipe/stages/test_score.py": {"recognise"},
    # A transcript with a word of its speaker's.
    "tests/recipe/common/test_text.py": {"modernisation", "MODERNISATION", "finalised", "FINALISED"},
}
EVERYWHERE = {"ssl_soft_dtw_curriculum"}


@functools.cache
def is_wrong(word):
    return word not in EVERYWHERE and bool(BRITISH.search(word) or FORMER.search(word))


def found_in(text):
    return set(filter(is_wrong, re.findall(r"\w+", text)))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def _recognise(self): pass", {"_recognise"}),
        ("class FrozenRecogniser:", {"FrozenRecogniser"}),
        ("--accept_licences, colours; normalisation", {"accept_licences", "colours", "normalisation"}),
        ("RATE = 16000; gamma_curriculum", {"RATE", "gamma_curriculum"}),
        ("SAMPLE_RATE, synthesis, optimistic, recognized, four hours, ssl_soft_dtw_curriculum", set()),
    ],
)
def test_words_are_found(text, found):
    assert found_in(text) == found


def test_one_spelling_and_one_word():
    wrong = {}
    for path in FILES:
        kept = KEPT.get(next((name for name in KEPT if f"/{path.as_posix()}".endswith(f"/{name}")), ""), set())
        if kept is not None and (words := found_in(path.read_text(encoding="utf-8")) - kept):
            wrong[str(path.relative_to(ROOT))] = sorted(words)
    assert not wrong
    assert len(FILES) > 400
