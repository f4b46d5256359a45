"""CATALOGUE of search spaces: each file offers `space()`, and may offer `size(config)`; none needs torch."""
