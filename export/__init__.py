"""From a trained run to one verified ONNX file."""
