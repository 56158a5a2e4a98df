#!/usr/bin/env bash
# Resolves tools/requirements.in into tools/requirements.lock, with hashes, for every supported platform.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
uv="../.venv/bin/uv"
[ -x "${uv}" ] || uv=$(command -v uv) || { echo "lock.sh: error: no uv; run tools/setup.sh first" >&2; exit 1; }
tmp=$(mktemp requirements.lock.XXXXXX)
trap 'rm -f "${tmp}"' EXIT
{
    echo "# Made by tools/lock.sh from tools/requirements.in and tools/overrides.txt; do not edit."
    echo "# What was asked for, and why:"
    sed 's/^/#   /' requirements.in overrides.txt
} >"${tmp}"
"${uv}" pip compile requirements.in --override overrides.txt --universal --python-version 3.10 \
    --generate-hashes --no-header --quiet "$@" >>"${tmp}"
chmod 644 "${tmp}"
mv "${tmp}" requirements.lock
