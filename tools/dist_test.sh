#!/usr/bin/env bash
# Test on several GPUs of one machine: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
set -euo pipefail
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
exec torchrun --nproc_per_node="$GPUS" --master_port="${PORT:-29500}" "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
