#!/usr/bin/env bash
# Test with several processes on one machine, one per GPU, or on its CPUs where it has none:
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]
# Runs in the folder that it is called from. PORT=29501 fixes the port, PYTHON=python3.11 the interpreter.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]" >&2; exit 2; }
CONFIG=$1
CHECKPOINT=$2
PROCESSES=$3
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -n "${PORT:-}" ]; then WHERE=(--master_port="$PORT"); else WHERE=(--standalone); fi
exec "${PYTHON:-python}" -m torch.distributed.run "${WHERE[@]}" --nproc_per_node="$PROCESSES" \
    "$TOOLS/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
