"""Training: a model is fitted, exported as one graph, proven equal to what was trained, and bundled."""
