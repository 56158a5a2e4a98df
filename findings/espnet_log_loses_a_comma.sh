#!/usr/bin/env bash
# One expects the items of ESPnet's training log to be separated alike on every
# line. Its reporter leaves the comma out before the item whose index equals the
# number of batches reported so far: the test meant for the last item counts
# batches instead of items. After three batches the fourth item is glued to the third,
# "loss=2.000acc=3.000", and the line before and after it look right. Programs
# that split the log at commas lose or misread values in short epochs and in the
# first lines of each; read the values from the checkpoint's reporter instead.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet torch==2.14.1 numpy==2.4.6 humanfriendly==10.0 typeguard==4.6.1 \
    packaging==26.4
venv/bin/pip install --quiet --no-deps espnet==202511
venv/bin/python - <<'PY'
import sys

import espnet
from espnet2.train.reporter import Reporter

print("espnet", espnet.__version__)
items = 6
missing = {}
reporter = Reporter()
reporter.set_epoch(1)
with reporter.observe("train") as epoch:
    for batch in range(1, 8):
        epoch.register({f"item{i}": float(i + 1) for i in range(items)})
        epoch.next()
        line = epoch.log_message()
        print(line)
        missing[batch] = items - 1 - line.count(", ")
print("commas missing after each number of batches:", missing)
holds = missing == {batch: int(batch < items) for batch in missing}
print("as described" if holds else "behavior has changed")
sys.exit(not holds)
PY
