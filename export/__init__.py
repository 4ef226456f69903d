"""From a trained run to one verified ONNX file."""

import dragoman.translate  # noqa: F401 (before PyTorch is imported, see there)
