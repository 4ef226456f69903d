"""Translate with a Dragoman file: numpy, onnxruntime and sentencepiece are all it needs."""
