#!/bin/bash
#SBATCH --job-name=joint.1
#SBATCH --array=0-3
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:2
#SBATCH --mem=16384M
#SBATCH --time=0-01:30:01
#SBATCH --partition=gpu,gpu-long
#SBATCH --account=ml_42
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@150
#SBATCH --output="/data/my study 100%%/$(logs)/it's/job-%A_%a.out"
#SBATCH --constraint=a100
#SBATCH --mail-type=END,FAIL

exec /usr/bin/env BOHB_NAS_CACHE=/scratch/a OMP_NUM_THREADS=8 /venv/bin/python -P -m bohb_nas worker '/data/my study 100%/it'"'"'s $(x)' --time 5340.5s --grace 120s
