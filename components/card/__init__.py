"""The model card: everything that a run knows of its model, in one document that nobody had to write."""
