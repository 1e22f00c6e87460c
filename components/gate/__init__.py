"""The gate: decides from evidence whether a model may be registered and served, and fails closed."""
