"""Starts pipelines on a new file, a message or a schedule: once for each, whatever is delivered twice or late."""
