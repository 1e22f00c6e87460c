"""Batch prediction: a bundle's answers for all rows of a source, one row out for each row in."""
