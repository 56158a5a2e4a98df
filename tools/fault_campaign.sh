#!/usr/bin/env bash
# The recipe killed and hindered at random moments of all stages, continued by the same command, compared with an
# undisturbed run: tables, weights and every other result, byte by byte. Needs a C compiler (cc).
#   tools/fault_campaign.sh --out DIR            three rounds: about a hundred kills and sixty faults, an hour or two
#   tools/fault_campaign.sh --out DIR --short    stage 1 alone, a minute; the tests run it
# Interrupted, the same command goes on. Counts: DIR/counts.json, DIR/counts.md; each run's output: DIR/logs.
# Exit code: 0 nothing found, 1 something found, 77 no compiler.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"${repository}/tools/setup.sh"
python="${OWN_PYTHON:-${VENV:-${repository}/.venv}/bin/python}"
export PYTHONPATH="${repository}/tools:${repository}${PYTHONPATH:+:${PYTHONPATH}}"
# One thread for each training, as in the preset.
export OMP_NUM_THREADS=1
exec "${python}" -m faults.campaign "$@"
