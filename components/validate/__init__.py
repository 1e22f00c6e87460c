"""Decides on the findings about the data: a run that must not learn from it stops here."""
