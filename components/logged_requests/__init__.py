"""Logged requests: what a served model was asked, brought to where training data is held against it."""
