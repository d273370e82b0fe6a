"""Models in other forms: ONNX, torch.export, and published weights."""
