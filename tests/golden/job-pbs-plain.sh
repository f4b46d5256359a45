#!/bin/bash
#PBS -N bohb-nas
#PBS -J 0-9
#PBS -l select=1:ncpus=1:ngpus=1
#PBS -l walltime=24:00:00
#PBS -r y
#PBS -j oe
#PBS -o /data/study/workers/

exec /venv/bin/python -P -m bohb_nas worker /data/study --time 86340s
