"""Registration: a model that passed its gates becomes a numbered, immutable version."""
