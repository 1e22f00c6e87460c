"""Training: features, models and their export to one ONNX graph from raw columns."""
