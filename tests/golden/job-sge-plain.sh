#!/bin/bash
#$ -S /bin/bash
#$ -N bohb-nas
#$ -t 1-10
#$ -l gpu=1
#$ -l h_rt=24:00:00
#$ -l s_rt=23:59:00
#$ -r y
#$ -notify
#$ -j y
#$ -o /data/study/workers/

exec /venv/bin/python -P -m bohb_nas worker /data/study --time 86340s
