#!/bin/bash
#$ -S /bin/bash
#$ -N joint.1
#$ -t 1-4
#$ -pe smp 8
#$ -l gpu=2
#$ -l mem_free=2048M
#$ -l h_rt=01:30:01
#$ -l s_rt=01:27:31
#$ -q gpu,gpu-long
#$ -A ml_42
#$ -r y
#$ -notify
#$ -j y
#$ -o /scratch/logs/
#$ -m ae

exec /usr/bin/env BOHB_NAS_CACHE=/scratch/a OMP_NUM_THREADS=8 /venv/bin/python -P -m bohb_nas worker '/data/my study 100%/it'"'"'s $(x)' --time 5340.5s --grace 120s
