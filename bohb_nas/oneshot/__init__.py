"""Searches that train one set of shared weights: AutoHAS and DHA."""
