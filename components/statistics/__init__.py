"""Statistics of each split of a snapshot, by TensorFlow Data Validation in process."""
