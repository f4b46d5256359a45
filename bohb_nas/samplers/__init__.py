"""Where new configurations come from; no sampler knows of rungs, trials or files."""
