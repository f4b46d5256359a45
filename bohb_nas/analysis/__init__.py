"""What a study says: importance, budgets, trajectory, comparisons, as plain data for whoever prints or draws it."""
