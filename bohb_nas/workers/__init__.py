"""Workers by name: what trains a configuration. A file is a name; it offers `make(**options) -> Worker`, or `train` itself."""
