#!/usr/bin/env bash
# ESPnet packs a model (weights, configuration, what they need) into an archive,
# and one expects unpack to give the files that were packed. Where the model was
# trained it may give others, without a word. Unpacked once more into the same
# folder, it looks for what is there one folder too high, finds the sources, and
# returns their paths. Of a file outside the working directory it returns the path
# of the source at once, not that of the copy it has just made. The weights loaded
# are then those of a later epoch. And paths in the configuration are turned to
# the unpacked files, but not if they name a folder.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet PyYAML==6.0.3
venv/bin/pip install --quiet --no-deps --ignore-requires-python espnet==202611
mkdir elsewhere here
cd here
../venv/bin/python - > ../shown.txt <<'PY' || status=$?
import importlib.metadata
import sys
from pathlib import Path

import yaml
from espnet2.main_funcs.pack_funcs import pack, unpack


def show(*words):
    print("SHOW", *words)


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return path


def packed(archive, weights):
    write(weights, "as packed")
    config = write("exp/config.yaml", yaml.safe_dump({"bpe": "exp/bpe.model", "tokens": "exp/tokens"}))
    extra = [write("exp/bpe.model", "bpe"), Path(write("exp/tokens/list", "a b c")).parent]
    pack(files={"weights": weights}, yaml_files={"config": config}, option=extra, outpath=archive)
    write(weights, "of a later epoch")
    return archive


show("espnet", importlib.metadata.version("espnet"))
inside = packed("inside.tar", "exp/model.pth")
once, again = unpack(inside, "out"), unpack(inside, "out")
seen = []
for times, files in (("once", once), ("again", again)):
    seen.append((files["weights"], Path(files["weights"]).read_text()))
    show(f"unpacked {times} into out: weights in {seen[-1][0]}, {seen[-1][1]}")
config = yaml.safe_load(Path(once["config"]).read_text())
show("paths in the unpacked configuration:", config)

source = Path("../elsewhere/model.pth").resolve()
returned = Path(unpack(packed("outside.tar", source), "new")["weights"])
copies = [path.read_text() for path in Path("new").rglob("model.pth")]
show("packed from elsewhere: returned is the path of the source:", returned == source)
show("  weights there", returned.read_text() + ", weights in new", *copies)
holds = (
    seen == [("out/exp/model.pth", "as packed"), ("exp/model.pth", "of a later epoch")]
    and config == {"bpe": "out/exp/bpe.model", "tokens": "exp/tokens"}
    and returned == source
    and copies == ["as packed"]
)
show("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
# Without the lines on what pack adds.
sed -n 's/^SHOW //p' ../shown.txt
exit "${status:-0}"
