# shellcheck shell=bash
# Puts the recipe's environment on the PATH; sets it up on first use. To be sourced from the recipe's folder.
#   OWN_PYTHON=/path/to/python   use an environment of your own; nothing is installed
#   VENV=/path/to/venv           where the recipe's own environment lies (default: .venv)
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
"${repository}/tools/setup.sh"
recipe_python="${OWN_PYTHON:-${VENV:-${repository}/.venv}/bin/python}"
PATH="$(cd "$(dirname "${recipe_python}")" && pwd):${PATH}"
export PATH
# `local` and, in an environment of one's own, the package itself.
export PYTHONPATH="${repository}/egs/voicebank_librimix:${repository}${PYTHONPATH:+:${PYTHONPATH}}"
# Images of containers set it; each process would compile torch and ESPnet anew.
unset PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED=1 PYTHONIOENCODING=utf-8 LC_ALL=C.UTF-8
