"""The record of runs, and what it answers: results, lineage, differences."""
