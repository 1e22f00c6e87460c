"""Row-wise expressions: one language, computed by Arrow while data is read, and by ONNX in a model's graph."""
