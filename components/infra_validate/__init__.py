"""Infra validation: the real server loads the bundle and answers, before anyone depends on it."""
