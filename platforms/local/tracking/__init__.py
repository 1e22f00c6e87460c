"""Experiment tracking with MLflow: a file of the home folder, or a server."""
