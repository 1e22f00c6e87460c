"""Fingerprint: what the source holds right now, as one digest."""
