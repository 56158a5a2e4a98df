#!/usr/bin/env bash
# A text archive has a line for each utterance: its key, then its values, as in
# utt2num_frames or in the integer vectors (alignments, labels) that Kaldi writes
# with "ark,t:". To tell the format, kaldiio reads five bytes after the key and
# goes five back. Where less than five are left of the file it lands inside the
# key: of "utt10 5" on the last line it makes the values 10 and 5. From a pipe,
# where it cannot go back, what it read beyond a short value is lost: the keys
# that follow lack their first letters. Neither is an error. Values of four
# digits or more are read rightly.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet kaldiio==2.18.1 numpy==2.3.5
venv/bin/python - <<'PY'
import importlib.metadata
import sys

from kaldiio import ReadHelper

print("kaldiio", importlib.metadata.version("kaldiio"))


def read(values, source):
    lines = [f"utt{number} {value}" for number, value in zip((8, 9, 10), values)]
    with open("values.ark", "w") as file:
        file.write("".join(line + "\n" for line in lines))
    with ReadHelper("ark:" + source) as reader:
        found = [(key, array.tolist()) for key, array in reader]
    print(f"{source:16} {', '.join(lines):30} ->", found)
    return found


def right(values):
    return [("utt8", [values[0]]), ("utt9", [values[1]]), ("utt10", [values[2]])]


short, long = (1, 3, 5), (1001, 1003, 1005)
holds = (
    read(short, "values.ark") == [("utt8", [1]), ("utt9", [3]), ("utt10", [10, 5])]
    and read(short, "cat values.ark |") == [("utt8", [1]), ("9", [3]), ("10", [5])]
    and read(long, "values.ark") == right(long)
    and read(long, "cat values.ark |") == right(long)
)
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
