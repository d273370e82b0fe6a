#!/usr/bin/env bash
# Train with several processes on one machine, one per GPU, or on its CPUs where it has none:
#   tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
# Runs in the folder that it is called from. PORT=29501 fixes the port, PYTHON=python3.11 the interpreter.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG PROCESSES [arguments of tools/train.py]" >&2; exit 2; }
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec bash "$TOOLS/dist_run.sh" "$2" train.py "$1" --launcher pytorch "${@:3}"
