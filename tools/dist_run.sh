#!/usr/bin/env bash
# What dist_train.sh and dist_test.sh share, which call it: torchrun with several processes on this machine.
#   tools/dist_run.sh PROCESSES TOOL [arguments of the tool]
set -euo pipefail
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -n "${PORT:-}" ]; then WHERE=(--master_port="$PORT"); else WHERE=(--standalone); fi
exec "${PYTHON:-python}" -m torch.distributed.run "${WHERE[@]}" --nproc_per_node="$1" "$TOOLS/$2" "${@:3}"
