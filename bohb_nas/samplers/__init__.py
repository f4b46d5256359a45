"""Where new configurations come from; no sampler knows of brackets or files."""
