"""Training of image classifiers under wall-clock budgets."""
