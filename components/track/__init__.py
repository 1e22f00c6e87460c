"""Tracking: each run goes on record in the experiment tracker, beside the runs before it."""
