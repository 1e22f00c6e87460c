"""Segments: one model for each value of a column."""
