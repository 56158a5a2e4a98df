#!/usr/bin/env bash
# One expects a cache of compiled code to notice when the code has changed.
# numba's cache=True looks at the file of the cached function alone. A function
# that it calls from another module is compiled into it; edit that module, and
# the next process goes on computing with the old body, although the callee
# asked for by itself already gives the new value, in the same process. Soft-DTW
# on the CPU is code of this kind: after a change to a shared numba helper, or an
# upgrade of the package it comes from, results may be of yesterday's code until
# the cache (NUMBA_CACHE_DIR or __pycache__) is removed.
set -euo pipefail
unset PYTHONPATH NUMBA_CACHE_DIR
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet numba==0.68.1 numpy==2.3.5
cat >helper.py <<'PY'
import numba


@numba.njit
def gain():
    return 1.0
PY
cat >caller.py <<'PY'
import helper
import numba


@numba.njit(cache=True)
def amplified(x):
    return helper.gain() * x


print("cached caller", amplified(1.0), "callee alone", helper.gain())
PY
venv/bin/python -c 'import numba; print("numba", numba.__version__)'
first=$(venv/bin/python caller.py)
sed -i 's/1\.0/2.5/' helper.py
touch -d '1 minute' helper.py
second=$(venv/bin/python caller.py)
rm -r __pycache__
third=$(venv/bin/python caller.py)
printf 'first run:             %s\n' "$first"
printf 'after editing callee:  %s\n' "$second"
printf 'after removing cache:  %s\n' "$third"
if [ "$first" = "cached caller 1.0 callee alone 1.0" ] &&
    [ "$second" = "cached caller 1.0 callee alone 2.5" ] &&
    [ "$third" = "cached caller 2.5 callee alone 2.5" ]; then
    echo "as described"
else
    echo "behavior has changed"
    exit 1
fi
