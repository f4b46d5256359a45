"""What a study says to people: counts, tables, the live display."""
