#!/usr/bin/env bash
# One expects a resolver asked for a package without a version to give its newest
# release, or to say why it cannot. Releases of ESPnet up to 202511 limit setuptools
# to versions that a recent torch refuses. Ask for both, and the resolver steps
# back through ESPnet's releases until one has no such limit: 202402, years old,
# installed with exit status 0 and no word about it. Recipes written for a
# later release then fail far from the cause, or score differently. Always name
# ESPnet's version; with it the same request ends in an error that tells the truth.
set -euo pipefail
unset PYTHONPATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet uv==0.13.9
venv/bin/uv --version
resolve() {
    printf '%s\n' "$@" | venv/bin/uv pip compile --quiet --no-header --no-annotate \
        --python venv/bin/python -
}
pinned=espnet==202511
torch=torch==2.14.1
unnamed=$(resolve espnet "$torch" 2>warnings | grep -E '^(espnet|torch)==')
printf 'asked for espnet and %s:\n%s\n' "$torch" "$unnamed"
printf 'lines of warning: %s\n' "$(wc -l <warnings)"
status=0
resolve "$pinned" "$torch" >answer 2>error || status=$?
printf 'asked for %s and %s: exit status %s\n' "$pinned" "$torch" "$status"
sed -n '1,6p' error
if grep -q '^espnet==202402$' <<<"$unnamed" && [ ! -s warnings ] && [ "$status" -ne 0 ]; then
    echo "as described"
else
    echo "behavior has changed"
    exit 1
fi
