#!/usr/bin/env bash
# Resolves tools/stacks/*.in into their .lock files, with hashes, for every supported platform.
#   tools/lock.sh              versions stay as they are where they can: uv prefers those of the old lock
#   tools/lock.sh --upgrade    moves them; any option of `uv pip compile`
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
uv="../.venv/bin/uv"
[ -x "${uv}" ] || uv=$(command -v uv) || { echo "lock.sh: error: no uv; run tools/setup.sh first" >&2; exit 1; }
uv=$(realpath "${uv}")
cd stacks
resolved=$(mktemp lock.XXXXXX)
tmp=$(mktemp lock.XXXXXX)
trap 'rm -f "${resolved}" "${tmp}"' EXIT

lock() { # lock STACK PYTHON OPTIONS
    local stack=$1 python=$2
    shift 2
    : >"${resolved}"
    if [ -f "${stack}.lock" ]; then cp "${stack}.lock" "${resolved}"; fi
    "${uv}" pip compile "${stack}.in" --override "${stack}.overrides" --universal --python-version "${python}" \
        --generate-hashes --no-header --quiet --output-file "${resolved}" "$@" >/dev/null
    {
        echo "# Made by tools/lock.sh from ${stack}.in, ${stack}.overrides and ../requirements.in; do not edit."
        echo "# What was asked for, and why:"
        sed 's/^/#   /' "${stack}.in" "${stack}.overrides" ../requirements.in
        cat "${resolved}"
    } >"${tmp}"
    chmod 644 "${tmp}"
    mv "${tmp}" "${stack}.lock"
}

lock espnet202511 3.10 "$@"
lock espnet202611 3.12 "$@"
