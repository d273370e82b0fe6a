#!/usr/bin/env bash
# Train on several GPUs of one machine: tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
set -euo pipefail
CONFIG=$1
GPUS=$2
cd "$(dirname "$0")/.."
exec torchrun --nproc_per_node="$GPUS" --master_port="${PORT:-29500}" tools/train.py "$CONFIG" --launcher pytorch "${@:3}"
