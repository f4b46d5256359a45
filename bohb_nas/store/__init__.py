"""The durable side of a study: its directory, its journal, and the state that the journal folds to."""
