#!/usr/bin/env bash
# Sets the environment up if it is missing, then runs the linters and all tests.
#   tools/test.sh                 everything but what starts a Slurm (-m slurm)
#   tools/test.sh -m "not recipe" without the runs of the recipe; options go to pytest
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/setup.sh
python="${OWN_PYTHON:-.venv/bin/python}"
bin=$(dirname "${python}")

echo "== ruff"
"${python}" -m ruff check .
"${python}" -m ruff format --check .
echo "== mypy"
"${python}" -m mypy
echo "== shellcheck"
git ls-files '*.sh' .ci/run | xargs -d '\n' "${bin}/shellcheck" -x -P SCRIPTDIR
echo "== pytest"
# The fast tests first, the runs of the recipe last.
if [ $# -gt 0 ]; then
    exec "${python}" -m pytest -q "$@"
fi
# One thread: the models are tiny, and threads that wait for one another cost minutes on busy cores.
OMP_NUM_THREADS=1 "${python}" -m pytest -q --durations=10 -m "not recipe"
"${python}" -m pytest -q --durations=10 -m "recipe and not slurm"
echo "Not run: tests on a Slurm of their own, twenty minutes: tools/test.sh -m slurm"
