"""The steps of a pipeline: one folder each, a thin KFP interface beside plain functions that do the work."""
