#!/bin/bash
#BSUB -J "bohb-nas[1-10]"
#BSUB -n 1
#BSUB -R "span[hosts=1]"
#BSUB -gpu "num=1"
#BSUB -W 24:00
#BSUB -r
#BSUB -wa USR1
#BSUB -wt 1
#BSUB -o /data/study/workers/job-%J_%I.out

exec /venv/bin/python -P -m bohb_nas worker /data/study --time 86340s
