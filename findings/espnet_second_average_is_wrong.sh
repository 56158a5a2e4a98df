#!/usr/bin/env bash
# ESPnet averages the best epochs of a training for each criterion, and for each
# number of them where several are given (keep_nbest_models: [2, 3]); one expects
# each file to hold the mean of its own epochs. In 202511 only the first file
# written does: the dictionary of the first epoch's weights serves as the sum, is
# kept for the averages that follow, and enters them with what was added to it.
# The files look right (names, shapes, finite values), and the recognizer made of
# a wrong one is mostly just worse. 202611 copies the dictionary.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet torch==2.14.1 numpy==2.4.6 humanfriendly==10.0 typeguard==4.6.1 \
    packaging==26.4
for version in 202511 202611; do
    venv/bin/pip install --quiet --no-deps --ignore-requires-python --target "espnet$version" "espnet==$version"
done
cat > show.py <<'PY'
import json
import tempfile
from pathlib import Path

import torch
from espnet2.main_funcs.average_nbest_models import average_nbest_models
from espnet2.train.reporter import Reporter

folder = Path(tempfile.mkdtemp())
reporter = Reporter()
for epoch, (loss, acc) in enumerate([(3.0, 0.1), (2.0, 0.3), (1.0, 0.2)], 1):
    reporter.set_epoch(epoch)
    with reporter.observe("valid") as observed:
        observed.register({"loss": loss, "acc": acc})
        observed.next()
    # The only weight of an epoch is its number.
    torch.save({"weight": torch.tensor([float(epoch)])}, folder / f"{epoch}epoch.pth")
average_nbest_models(
    output_dir=folder,
    reporter=reporter,
    best_model_criterion=[("valid", "loss", "min"), ("valid", "acc", "max")],
    nbest=[2, 3],
)
names = [f"valid.{name}.ave_{n}best.pth" for name in ("loss", "acc") for n in (2, 3)]
print(json.dumps({name: round(torch.load(folder / name)["weight"].item(), 3) for name in names}))
PY
for version in 202511 202611; do
    PYTHONPATH="espnet$version" venv/bin/python -W ignore show.py | tee "$version.json"
done
venv/bin/python - <<'PY'
import json
import sys

old, new = (json.load(open(f"{version}.json")) for version in ("202511", "202611"))
# By loss epochs 3, 2 are best, by accuracy 2, 3: both means are 2.5, and 2 of all three.
right = dict(zip(old, (2.5, 2.0, 2.5, 2.0)))
wrong = [name for name in old if old[name] != right[name]]
print("202511 is wrong in", wrong)
holds = wrong == list(old)[1:] and new == right
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
