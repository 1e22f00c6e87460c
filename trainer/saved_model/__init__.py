"""A model of ours in TensorFlow: its ONNX graph replayed operation by operation, so that there is one definition."""
