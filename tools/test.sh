#!/usr/bin/env bash
# Sets the environment up if it is missing, then runs the linters and the tests.
#   tools/test.sh                    everything but what starts a Slurm or installs with pip
#   tools/test.sh --fast             linters and the fast tier: a minute, every room
#   tools/test.sh --lint             linters alone
#   tools/test.sh -m slurm           a tier: fast, unit, recipe, pages, slurm, install, gpu, browser
#   tools/test.sh tests/enh -k demucs   any options of pytest
#   tools/test.sh --stack espnet202611 -m unit   tests on that stack, in an environment of its own (.venv-espnet202611)
# Without options, the unit tier and the smoke recipe run on the other stack, too, where there is a python for it: python3.X
# on the PATH, or pyenv's. Where the first stack took longer than UNIT_TIER_WITHIN seconds (default: 1380), of the unit tier
# only the fast one and tests/second_stack.txt.
# PYTHON: the interpreter to build from, here or behind --stack; OTHER_PYTHON: that of the other stack.
# TEST_PROCESSES: tests at a time (default: two more than cores, since those that start a recipe also wait).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { echo "test.sh: error: $*" >&2; exit 1; }

stack_of() { # stack_of PYTHON: what setup.sh builds from it
    "$1" -c 'import sys; print("espnet202511" if sys.version_info < (3, 12) else "espnet202611")' 2>/dev/null
}
python_for() { # python_for STACK: an interpreter for it, the newest first; nothing where none is
    local versions version candidate
    case "$1" in
        espnet202511) versions="3.11 3.10" ;;
        espnet202611) versions="3.13 3.12" ;;
        *) fail "unknown stack '$1': espnet202511 or espnet202611" ;;
    esac
    for version in ${versions}; do
        # A shim of pyenv may stand on the PATH for a version that is not chosen.
        for candidate in "python${version}" "${PYENV_ROOT:-${HOME}/.pyenv}/versions/${version}".*/bin/python; do
            if "${candidate}" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '${version}')" 2>/dev/null; then
                echo "${candidate}"
                return
            fi
        done
    done
}

stack=
if [ "${1:-}" = --stack ]; then
    stack=${2:-}
    found=$(python_for "${stack}")
    shift 2
    [ $# -gt 0 ] || fail "--stack ${stack} needs options of pytest, such as -m unit"
    PYTHON=${PYTHON:-${found}}
    [ -n "${PYTHON}" ] || fail "no python for ${stack} here: set PYTHON"
    [ "$(stack_of "${PYTHON}")" = "${stack}" ] || fail "PYTHON=${PYTHON} is no python for ${stack}"
    # Programs that tests start have other working directories.
    export PYTHON VENV="${PWD}/.venv-${stack}"
    unset OWN_PYTHON
fi
tools/setup.sh
python="${OWN_PYTHON:-${VENV:-.venv}/bin/python}"
bin=$(dirname "${python}")
processes="${TEST_PROCESSES:-$(($(nproc) + 2))}"
# One thread: the models are tiny, and threads that wait for one another cost minutes on busy cores.
export OMP_NUM_THREADS=1
# Images of containers set it; each process would compile torch and ESPnet anew.
unset PYTHONDONTWRITEBYTECODE
# Where a test takes several, they sleep soon when they wait; what the user has chosen stays.
[ -n "${OMP_WAIT_POLICY:-}" ] || export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
# As the recipe does for its programs (local/jobs/processes.py).
export MALLOC_MMAP_THRESHOLD_="${MALLOC_MMAP_THRESHOLD_:-67108864}" MALLOC_TRIM_THRESHOLD_="${MALLOC_TRIM_THRESHOLD_:-536870912}"

lint() {
    echo "== ruff"
    "${python}" -m ruff check .
    "${python}" -m ruff format --check .
    echo "== mypy"
    "${python}" -m mypy
    echo "== shellcheck"
    local shellcheck="${bin}/shellcheck"
    # On ARM no package has it for pip.
    [ -x "${shellcheck}" ] || shellcheck=$(command -v shellcheck) || {
        echo "Not run: shellcheck is not installed (Debian: apt install shellcheck)"
        return
    }
    git ls-files '*.sh' .ci/run | xargs -d '\n' "${shellcheck}" -x -P SCRIPTDIR
}
# Warnings of our code are errors: those that are left are other people's.
run() { "${python}" -m pytest -q -rs --disable-warnings -n "${processes}" --dist worksteal "$@"; }

if [ -n "${stack}" ]; then
    echo "== pytest on ${stack} ($("${python}" --version))"
    run "$@"
    exit 0
fi
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
    # In one run, each process begins with its share of the longest (tests/longest_first.txt): none waits for another.
    run --durations=20 -m "not slurm and not install"
    echo "Not run: tests on a Slurm of their own, twenty minutes: tools/test.sh -m slurm"
    echo "Not run: pip installs everything anew, gigabytes: tools/test.sh -m install"
fi
wait "${linters}" || { echo "test.sh: error: the linters complain, see above" >&2; exit 1; }
[ $# -eq 0 ] || exit 0
case "$(stack_of "${python}")" in
    espnet202511) other=espnet202611 ;;
    *) other=espnet202511 ;;
esac
found=${OTHER_PYTHON:-$(python_for "${other}")}
if [ -z "${found}" ]; then
    echo "Not run: tests on ${other}: no python for it here (OTHER_PYTHON names one)"
else
    tests="unit or second_stack"
    # They take seven tenths of the time that the first stack took, a part of them three: all ends within 45 minutes.
    if [ "${SECONDS}" -gt "${UNIT_TIER_WITHIN:-1380}" ]; then
        tests="fast or second_stack"
        echo "Not run on ${other}: most of the unit tier, since the first stack took $((SECONDS / 60)) minutes:" \
            "tools/test.sh --stack ${other} -m unit"
    fi
    PYTHON=${found} tools/test.sh --stack "${other}" --durations=10 -m "${tests}"
fi
