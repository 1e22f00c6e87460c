"""The curated schema: what `headrace schema` does with it."""
