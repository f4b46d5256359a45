#!/bin/bash
#SBATCH --job-name=bohb-nas
#SBATCH --array=0-9
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gres=gpu:1
#SBATCH --time=1-00:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@60
#SBATCH --output="/data/study/workers/job-%A_%a.out"

exec /venv/bin/python -P -m bohb_nas worker /data/study --time 86340s
