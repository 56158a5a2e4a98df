#!/usr/bin/env bash
# Sets the environment up if it is missing, then runs the linters and the tests.
#   tools/test.sh                    everything but what starts a Slurm
#   tools/test.sh --fast             linters and the fast tier: a minute, every room
#   tools/test.sh --lint             linters alone
#   tools/test.sh -m slurm           a tier: fast, unit, recipe, slurm, gpu, browser
#   tools/test.sh tests/enh -k demucs   any options of pytest
# TEST_PROCESSES: tests at a time (default: one for each core).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools/setup.sh
python="${OWN_PYTHON:-${VENV:-.venv}/bin/python}"
bin=$(dirname "${python}")
processes="${TEST_PROCESSES:-$(nproc)}"
# One thread: the models are tiny, and threads that wait for one another cost minutes on busy cores.
export OMP_NUM_THREADS=1
# Images of containers set it; each process would compile torch and ESPnet anew.
unset PYTHONDONTWRITEBYTECODE
# Where a test takes several, they sleep soon when they wait; what the user has chosen stays.
[ -n "${OMP_WAIT_POLICY:-}" ] || export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"

lint() {
    echo "== ruff"
    "${python}" -m ruff check .
    "${python}" -m ruff format --check .
    echo "== mypy"
    "${python}" -m mypy
    echo "== shellcheck"
    git ls-files '*.sh' .ci/run | xargs -d '\n' "${bin}/shellcheck" -x -P SCRIPTDIR
}
run() { "${python}" -m pytest -q -n "${processes}" --dist worksteal "$@"; }

case "${1:-}" in
    --lint)
        lint
        exit 0
        ;;
    --fast)
        shift
        set -- -m fast "$@"
        ;;
esac
# mypy needs half a minute where its cache is cold; the linters run beside the tests.
lint &
linters=$!
echo "== pytest"
if [ $# -gt 0 ]; then
    run "$@"
else
    # The fast tests first, the runs of the recipe last.
    run --durations=10 -m "not recipe and not slurm"
    run --durations=10 -m "recipe and not slurm"
    echo "Not run: tests on a Slurm of their own, twenty minutes: tools/test.sh -m slurm"
fi
wait "${linters}" || { echo "test.sh: error: the linters complain, see above" >&2; exit 1; }
