"""Features: which encodings each column gets, how they are fitted, and the one graph that computes them."""
