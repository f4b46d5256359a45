#!/bin/bash
#BSUB -J "joint.1[1-4]"
#BSUB -n 8
#BSUB -R "span[hosts=1]"
#BSUB -gpu "num=2"
#BSUB -M 16384MB
#BSUB -R "rusage[mem=16384MB]"
#BSUB -W 1:31
#BSUB -q gpu,gpu-long
#BSUB -P ml_42
#BSUB -r
#BSUB -wa USR1
#BSUB -wt 3
#BSUB -o /scratch/logs/job-%J_%I.out
#BSUB -x

exec /usr/bin/env BOHB_NAS_CACHE=/scratch/a OMP_NUM_THREADS=8 /venv/bin/python -P -m bohb_nas worker '/data/my study 100%/it'"'"'s $(x)' --time 5340.5s --grace 120s
