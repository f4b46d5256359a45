"""Optimizers on benchmark problems under a virtual clock: runs, their statistics, tables and figures."""
