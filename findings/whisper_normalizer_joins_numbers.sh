#!/usr/bin/env bash
# Word error rates of English are often computed after Whisper's normalizer, which is
# to make spellings of one thing alike and to leave different things different. It takes
# "oh" and "o" for zeros and joins neighboring number words as text, over commas too:
# "five o'clock" is "50 clock", "one second" is "12nd" and "chapter two, first page" is
# "chapter 21st page"; "oh no" is "0 no". After it takes away punctuation, "two, three"
# and "twenty three" are one. A recognizer that heard "fifty clock", "zero no" or "one
# hundred twenty three" for "one two three" has a rate of 0. What is meant to be alike
# is not: the digits "5 5 5 1 2" against "five five five one two" are five errors in a
# reference of one word, "3:00" against "three o'clock" two, "-1" and "minus one" differ,
# and a number read out digit by digit counts as one word however long it is. "One
# percent" and "one dollar" lose their unit, "two percent" does not. On clean speech
# with few numbers this is little, on telephone numbers, dates and dialog ("oh") not:
# look at normalized text, and compare words as they are spoken.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet whisper_normalizer==0.1.15 jiwer==4.0.0
venv/bin/python - <<'PY'
from jiwer import wer
from whisper_normalizer.english import EnglishTextNormalizer

normalize = EnglishTextNormalizer()


def compare(reference, hypothesis):
    left, right = normalize(reference).strip(), normalize(hypothesis).strip()
    rate = wer(left, right)
    print(f"  {rate:4.0%}  {reference!r} is {left!r}, {hypothesis!r} is {right!r}")
    return rate


print("different, and yet no error:")
for reference, hypothesis in (
    ("we meet at five o'clock", "we meet at fifty clock"),
    ("oh no", "zero no"),
    ("chapter two, first page", "chapter twenty first page"),
    ("I have two, three are gone", "I have twenty three are gone"),
    ("one two three go", "one hundred twenty three go"),
    ("there was one percent left", "there was one left"),
    ("it costs one dollar", "it costs one"),
):
    assert compare(reference, hypothesis) == 0, reference
assert normalize("wait one second") == "wait 12nd"

print("the same, and yet errors:")
for reference, hypothesis, expected in (
    ("five five five one two", "5 5 5 1 2", 5),
    ("at three o'clock", "at 3:00", 2 / 3),
    ("in twenty twenty, fifteen people left", "in 2020, 15 people left", 0.5),
    ("minus one", "-1", 1),
):
    assert abs(compare(reference, hypothesis) - expected) < 0.01, reference

assert normalize("two percent") == "2%" and normalize("one percent").strip() == "one"
long = "my number is oh one seven two five five five one two three four"
print(f"words of {long!r}: {len(long.split())}, normalized {len(normalize(long).split())}: {normalize(long)!r}")
assert len(normalize(long).split()) == 4
PY
