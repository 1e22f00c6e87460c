"""A model trained by TFX from our spec: what runs in the `tfx` environment, and the way back to a bundle."""
