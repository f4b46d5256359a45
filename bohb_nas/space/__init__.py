"""Search spaces as this package uses them: read from a reference, checked, and turned into rows of the unit cube.

A space is ConfigSpace's own `ConfigurationSpace`; nothing here wraps it.
"""
