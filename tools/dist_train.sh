#!/usr/bin/env bash
# Train on several GPUs of one machine, from any folder: tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
set -euo pipefail
CONFIG=$1
GPUS=$2
exec torchrun --nproc_per_node="$GPUS" --master_port="${PORT:-29500}" "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
