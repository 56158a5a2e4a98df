#!/usr/bin/env bash
# Makes the environment in .venv: uv installs exactly the lock file of one stack (tools/stacks), then this package in
# editable mode. Runs again in a second or two when nothing changed; an interrupted run is simply repeated.
#
# PYTHON      the interpreter to build from (default: python3); it chooses the stack: ESPnet 202511 for 3.10 and 3.11,
#             202611 for 3.12 and 3.13
# VENV        where the environment is made (default: .venv)
# OWN_PYTHON  the interpreter of an environment of your own: nothing is installed, only checked
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="${VENV:-${root}/.venv}"
fail() { echo "setup.sh: error: $*" >&2; exit 1; }

if [ -n "${OWN_PYTHON:-}" ]; then
    PYTHONPATH="${root}${PYTHONPATH:+:${PYTHONPATH}}" "${OWN_PYTHON}" "${root}/tools/check_environment.py"
    exit 0
fi

python="${PYTHON:-python3}"
command -v "${python}" >/dev/null || fail "no ${python} on the PATH: install python 3.10 to 3.13 or set PYTHON"
version=$("${python}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case "${version}" in
    3.10 | 3.11) stack=espnet202511 ;;
    3.12 | 3.13) stack=espnet202611 ;;
    *) fail "${python} is python ${version}, but 3.10 to 3.13 is needed: set PYTHON to another interpreter" ;;
esac

lock="${root}/tools/stacks/${stack}.lock"

# What the environment depends on; the stamp inside it says what it was made from.
wanted=$(cat "${lock}" "${root}/setup.py" "${BASH_SOURCE[0]}" | sha256sum | cut -d' ' -f1)
wanted="${wanted} ${version} ${venv}"
stamp="${venv}/.setup_done"
[ ! -f "${stamp}" ] || [ "$(cat "${stamp}")" != "${wanted}" ] || exit 0

# Two first runs at once must not write into one environment.
if command -v flock >/dev/null; then
    exec 9>"${root}/.setup.lock"
    if ! flock -n 9; then
        echo "Waiting for another process that sets this repository up" >&2
        flock 9
    fi
    [ ! -f "${stamp}" ] || [ "$(cat "${stamp}")" != "${wanted}" ] || exit 0
fi

echo "Setting up ${venv} with python ${version} and ${stack} (once; about 5 GB, mostly torch: some minutes)" >&2
rm -f "${stamp}"
# `activate` is what venv writes last.
if ! [ -f "${venv}/bin/activate" ] ||
    ! "${venv}/bin/python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '${version}')" 2>/dev/null; then
    rm -rf "${venv}"
    "${python}" -m venv "${venv}" ||
        fail "cannot make a virtual environment: install the venv module (Debian: apt install python3-venv)"
fi
if ! "${venv}/bin/uv" --version >/dev/null 2>&1; then
    "${venv}/bin/python" -m ensurepip >/dev/null 2>&1 ||
        fail "cannot bootstrap pip: install the venv module (Debian: apt install python3-venv)"
    awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' "${lock}" >"${venv}/uv.lock"
    "${venv}/bin/python" -m pip install -q --disable-pip-version-check --require-hashes --no-deps \
        -r "${venv}/uv.lock" || fail "cannot install uv: is PyPI reachable?"
fi
# Its progress where someone looks on.
quiet=()
[ -t 2 ] || quiet=(-q)
"${venv}/bin/uv" pip sync "${quiet[@]}" --python "${venv}/bin/python" --require-hashes "${lock}" ||
    fail "installation failed (see above); a C++ compiler and access to PyPI are needed"
"${venv}/bin/uv" pip install -q --python "${venv}/bin/python" --no-deps --no-build-isolation -e "${root}"
"${venv}/bin/python" "${root}/tools/check_environment.py"
printf '%s' "${wanted}" >"${stamp}.tmp"
mv "${stamp}.tmp" "${stamp}"
