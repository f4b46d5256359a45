"""Carries trials to workers and results back: the loop, the cluster, the worker program and its training child."""
