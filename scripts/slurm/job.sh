#!/bin/bash
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#
# Brings the environment to the disk of each node, once a node, before what runs there on every core. Where it is
# submitted it must have been built and published: terrastore build -r requirements.txt && sbatch job.sh
set -euo pipefail

place=${SLURM_TMPDIR:-/tmp}/terrastore-$SLURM_JOB_ID
trap 'srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 rm -rf "$place"' EXIT

# A node that would run anything else than the others ends the job.
key=$(terrastore key -r requirements.txt)
srun --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --kill-on-bad-exit=1 \
    terrastore ensure --no-build --no-cache -r requirements.txt --expect "$key" --target "$place/env"

srun "$place/env/bin/python" train.py
