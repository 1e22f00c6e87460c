"""Registered models in words: lists, one version, two side by side, the audit log."""
