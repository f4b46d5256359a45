"""What this machine can do for a search, and what is wrong with its set-up: behind `bohb-nas doctor`."""
