"""`python -m bohb_nas`: the command line."""

from bohb_nas.cli import main

main()
