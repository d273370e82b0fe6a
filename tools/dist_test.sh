#!/usr/bin/env bash
# Test with several processes on one machine, one per GPU, or on its CPUs where it has none:
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]
# Runs in the folder that it is called from. PORT=29501 fixes the port, PYTHON=python3.11 the interpreter.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]" >&2; exit 2; }
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec bash "$TOOLS/dist_run.sh" "$3" test.py "$1" "$2" --launcher pytorch "${@:4}"
