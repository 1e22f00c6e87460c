"""Evaluation: what a model is worth on rows that nothing before it has looked at."""
