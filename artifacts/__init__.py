"""The nouns: what flows along a pipeline's arrows, how it lies on disk, and how it is read and written."""
