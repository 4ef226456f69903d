"""Translate, classify, tag and forecast with a Dragoman file. Needs only numpy, onnxruntime and sentencepiece."""
