#!/usr/bin/env bash
# Resolves tools/requirements.in into tools/requirements.lock, with hashes, for every supported platform.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
uv="../.venv/bin/uv"
[ -x "${uv}" ] || uv=$(command -v uv) || { echo "lock.sh: error: no uv; run tools/setup.sh first" >&2; exit 1; }
# Versions stay as they are where they can: the old lock is what uv prefers. `tools/lock.sh --upgrade` moves them.
resolved=$(mktemp requirements.lock.XXXXXX)
tmp=$(mktemp requirements.lock.XXXXXX)
trap 'rm -f "${resolved}" "${tmp}"' EXIT
if [ -f requirements.lock ]; then cp requirements.lock "${resolved}"; fi
"${uv}" pip compile requirements.in --override overrides.txt --universal --python-version 3.10 \
    --generate-hashes --no-header --quiet --output-file "${resolved}" "$@" >/dev/null
{
    echo "# Made by tools/lock.sh from tools/requirements.in and tools/overrides.txt; do not edit."
    echo "# What was asked for, and why:"
    sed 's/^/#   /' requirements.in overrides.txt
    cat "${resolved}"
} >"${tmp}"
chmod 644 "${tmp}"
mv "${tmp}" requirements.lock
