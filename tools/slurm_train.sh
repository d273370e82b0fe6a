#!/usr/bin/env bash
# Train under Slurm: GPUS=8 GPUS_PER_NODE=8 tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
# Runs in the folder that it is called from. Two minutes before the time limit Slurm sends SIGTERM, upon which the
# training writes a checkpoint; with --resume the same command goes on from it.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 PARTITION JOB_NAME CONFIG [arguments of tools/train.py]" >&2; exit 2; }
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SRUN_ARGS="--signal=TERM@120 ${SRUN_ARGS:-}" \
    exec bash "$TOOLS/slurm_run.sh" "$1" "$2" train.py "$3" --launcher slurm "${@:4}"
