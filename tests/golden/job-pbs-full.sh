#!/bin/bash
#PBS -N joint.1
#PBS -J 0-3
#PBS -l select=1:ncpus=8:ngpus=2:mem=16384mb
#PBS -l walltime=01:30:01
#PBS -q gpu,gpu-long
#PBS -A ml_42
#PBS -r y
#PBS -j oe
#PBS -o /scratch/logs/
#PBS -m ae

exec /usr/bin/env BOHB_NAS_CACHE=/scratch/a OMP_NUM_THREADS=8 /venv/bin/python -P -m bohb_nas worker '/data/my study 100%/it'"'"'s $(x)' --time 5340.5s --grace 120s
