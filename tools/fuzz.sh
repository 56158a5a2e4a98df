#!/usr/bin/env bash
# Reads broken input for as long as one likes (docs/faults.md).
#   tools/fuzz.sh TARGET [--minutes N] [--seed N] [--found FOLDER]
#   tools/fuzz.sh --help
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${OWN_PYTHON:-${VENV:-.venv}/bin/python}"
export PYTHONPATH="${PWD}:${PWD}/egs/voicebank_librimix:${PWD}/tests:${PWD}/tests/recipe:${PWD}/tests/fuzz${PYTHONPATH:+:${PYTHONPATH}}"
export OMP_NUM_THREADS=1
exec "${python}" -m fuzz_run "$@"
