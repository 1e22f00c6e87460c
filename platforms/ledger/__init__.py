"""Registries in somebody else's service: what holds is what a chained log there says, read from its beginning."""
