#!/usr/bin/env bash
# Test under Slurm:
#   GPUS=8 GPUS_PER_NODE=8 tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
# Runs in the folder that it is called from.
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]" >&2; exit 2; }
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec bash "$TOOLS/slurm_run.sh" "$1" "$2" test.py "$3" "$4" --launcher slurm "${@:5}"
