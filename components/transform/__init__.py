"""Transform: the features' encodings are fitted on the train split, and built as one graph."""
