#!/usr/bin/env bash
# A Slurm array that exports one snapshot: every task takes its part, and a table appears when all tasks have done theirs.
#
#   sbatch --array=0-7 docs/scale-out/slurm.sh /backup/location/sr_hub_full@2024-08-14-16-20-31-129 /shared/exported
#
# Tasks need nothing of each other: they may run at once or one after another, and a task that failed or was requeued goes on where it
# was. The directory must be one that all nodes share.
#SBATCH --job-name=starsnap-export
#SBATCH --cpus-per-task=4
#SBATCH --mem=1G
#SBATCH --requeue
#SBATCH --output=starsnap-export-%A_%a.log
set -euo pipefail

source=${1:?source, such as REPOSITORY/LABEL@TIMESTAMP}
target=${2:?directory that all nodes share}
shift 2

# Arrays need not begin at 0 nor count by one: parts do.
step=${SLURM_ARRAY_TASK_STEP:-1}
part=$(((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN) / step))

exec starsnap export "$source" --format parquet --to "$target/" \
    --shard "$part/$SLURM_ARRAY_TASK_COUNT" --workers "${SLURM_CPUS_PER_TASK:-1}" "$@"
